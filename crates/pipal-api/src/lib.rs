//! The wire contract: messages, services, routes, request rules and JSON of the gRPC API.
//!
//! The `.proto` files below `proto/` are the source. A module per package holds the generated messages with the
//! client and server of each service: `banyandb.measure.v1` is [`measure::v1`].

pub mod json;
pub mod routes;
pub mod validate;
pub mod write;

/// Declares the module of one package and includes the code that the build generated for it.
macro_rules! package {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub mod $name {
            /// Version 1 of the package.
            // The build generates this code from the .proto files: their comments are its documentation, and its
            // style is the generator's.
            #[allow(missing_docs, clippy::all)]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/banyandb.", stringify!($name), ".v1.rs"));
            }
        }
    };
}

package!(
    /// BydbQL: queries as text.
    bydbql
);
package!(
    /// Messages between the nodes of a cluster.
    cluster
);
package!(
    /// Identity of schema objects, groups, query traces.
    common
);
package!(
    /// Schema objects and their registries.
    database
);
package!(
    /// Reports of diagnostics agents.
    fodc
);
package!(
    /// Measures: write, query, Top-N.
    measure
);
package!(
    /// Values and the query parts that all models share.
    model
);
package!(
    /// Registry of sampling pipelines.
    pipeline
);
package!(
    /// Properties: mutable documents.
    property
);
package!(
    /// Schema barriers and the schema store of a cluster.
    schema
);
package!(
    /// Streams: write and query.
    stream
);
package!(
    /// Traces: write and query.
    trace
);

/// The encoded `google.protobuf.FileDescriptorSet` of all files and of the well-known types that they import.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
