//! The gRPC and HTTP faces of the database and the schema registry.
