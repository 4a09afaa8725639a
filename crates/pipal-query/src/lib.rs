//! Plans and operators: a request becomes a plan, a plan reads the engine, columns become an answer.
