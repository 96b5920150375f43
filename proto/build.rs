//! Makes Rust of the .proto files, without protoc.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const FILES: &[&str] = &[
    "windrose/v1/attributes.proto",
    "windrose/v1/bfd.proto",
    "windrose/v1/fib.proto",
    "windrose/v1/injection.proto",
    "windrose/v1/link.proto",
    "windrose/v1/peer.proto",
    "windrose/v1/policy.proto",
    "windrose/v1/route.proto",
    "windrose/v1/system.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=windrose");
    let descriptors = protox::compile(FILES, ["."])?;
    // `compile_fds` ignores `file_descriptor_set_path`, so the set for reflection is written here.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("windrose.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
