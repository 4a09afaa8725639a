//! The wire contract: messages, services and JSON of the gRPC API.
