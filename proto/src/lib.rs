//! The windrose.v1 API: .proto files and generated code, nothing else.

/// Version 1. The comments are those of the .proto files.
#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::use_self,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value
)]
pub mod v1 {
    tonic::include_proto!("windrose.v1");

    /// The encoded descriptors of all files, for the reflection service.
    pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("windrose.v1");
}
