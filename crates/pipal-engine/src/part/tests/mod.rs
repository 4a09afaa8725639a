mod cases;
mod damage;
mod random;
mod world;
