mod cases;
mod companions;
mod damage;
mod fuzz;
mod memory;
mod random;
mod terms;
mod world;
