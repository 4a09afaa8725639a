//! The JSON routes of the RPCs, below the base path `/api`.

/// The verb of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

/// One segment of a route's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Matches this text.
    Literal(&'static str),
    /// Matches any text and binds it to the string field with this dotted path in the request.
    Field(&'static str),
}

/// One JSON route of one unary RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The verb.
    pub verb: Verb,
    /// The path below the base path.
    pub segments: &'static [Segment],
    /// Whether a JSON body holds the request; otherwise query parameters fill the fields that the path does not.
    pub body: bool,
    /// The path of the RPC: `/banyandb.measure.v1.MeasureService/Query`.
    pub path: &'static str,
    /// Full name of the request message.
    pub request: &'static str,
    /// Full name of the response message.
    pub response: &'static str,
}

/// All routes. Two patterns may match one path (a literal and a field): the later one wins.
pub static ROUTES: &[Route] = include!(concat!(env!("OUT_DIR"), "/routes.rs"));
