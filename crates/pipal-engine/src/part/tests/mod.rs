mod cases;
mod damage;
mod fuzz;
mod random;
mod terms;
mod world;
