//! The migrations are compiled in: a new or changed one must make cargo compile this crate again.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
