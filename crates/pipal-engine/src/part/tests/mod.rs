mod cases;
mod damage;
mod filters;
mod fuzz;
mod memory;
mod random;
mod terms;
mod world;
