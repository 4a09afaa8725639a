//! All combinations of model, type, index, operator and literal.
