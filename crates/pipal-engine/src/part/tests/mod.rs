mod cases;
mod damage;
mod fuzz;
mod memory;
mod random;
mod terms;
mod world;
