//! Compiles the `.proto` files below `proto/` into messages, services and a descriptor set, without protoc, and the
//! two tables beside them into request validation and JSON routes.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

mod names;
mod routes;
mod rules;
mod validate;

use protox::prost::Message;
use protox::prost_reflect::prost_types::FileDescriptorSet;

const PROTO_DIR: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_DIR}");
    println!("cargo:rerun-if-changed=build");
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let files = proto_files(Path::new(PROTO_DIR))?;

    let mut compiler = protox::Compiler::new([PROTO_DIR])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let descriptors = compiler.file_descriptor_set();

    // Comments serve the generated documentation only; clients of the reflection service get bare descriptors.
    fs::write(out_dir.join("descriptors.bin"), without_comments(descriptors.clone()).encode_to_vec())?;

    let pool = compiler.descriptor_pool();
    let rules = rules::parse(&fs::read_to_string(Path::new(PROTO_DIR).join("rules.txt"))?)?;
    fs::write(out_dir.join("validate.rs"), validate::generate(&pool, rules)?)?;
    let routes = fs::read_to_string(Path::new(PROTO_DIR).join("routes.txt"))?;
    fs::write(out_dir.join("routes.rs"), routes::generate(&pool, &routes)?)?;

    let mut config = prost_build::Config::new();
    config.bytes(["."]).enable_type_names();
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// All `.proto` files below `dir`, sorted, so that the output never depends on the file system's order.
fn proto_files(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn without_comments(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    descriptors
}
