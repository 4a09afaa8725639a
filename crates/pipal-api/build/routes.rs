//! Generates the table of JSON routes from `proto/routes.txt`.

use std::error::Error;
use std::fmt::Write;

use protox::prost_reflect::{DescriptorPool, Kind, MessageDescriptor, MethodDescriptor};

type Generated<T> = Result<T, Box<dyn Error>>;

/// Rust source of the slice of all routes, in the order of the table.
pub fn generate(pool: &DescriptorPool, text: &str) -> Generated<String> {
    let mut out = String::from("&[\n");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        route(pool, line, &mut out).map_err(|e| format!("{e} in route: {line}"))?;
    }
    out.push_str("]\n");
    Ok(out)
}

fn route(pool: &DescriptorPool, line: &str, out: &mut String) -> Generated<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (rpc, verb, pattern, body) = match words[..] {
        [rpc, verb, pattern] => (rpc, verb, pattern, false),
        [rpc, verb, pattern, "body=*"] => (rpc, verb, pattern, true),
        _ => return Err("want: service/method, verb, pattern and at most body=*".into()),
    };
    let verb = match verb {
        "GET" => "Get",
        "POST" => "Post",
        "PUT" => "Put",
        "DELETE" => "Delete",
        _ => return Err("unknown verb".into()),
    };
    let method = find_method(pool, rpc)?;
    let segments = segments(pattern, &method.input())?;
    writeln!(
        out,
        "Route {{ verb: Verb::{verb}, segments: &[{segments}], body: {body}, path: \"/banyandb.{rpc}\", \
         request: {:?}, response: {:?} }},",
        method.input().full_name(),
        method.output().full_name()
    )?;
    Ok(())
}

fn find_method(pool: &DescriptorPool, rpc: &str) -> Generated<MethodDescriptor> {
    let (service, method) = rpc.split_once('/').ok_or("want service/method")?;
    let service = pool.get_service_by_name(&format!("banyandb.{service}")).ok_or("unknown service")?;
    let found = service.methods().find(|m| m.name() == method).ok_or("unknown method")?;
    if found.is_client_streaming() || found.is_server_streaming() {
        return Err("a stream has no route".into());
    }
    Ok(found)
}

fn segments(pattern: &str, request: &MessageDescriptor) -> Generated<String> {
    let mut out = String::new();
    for part in pattern.strip_prefix('/').ok_or("a pattern starts with a slash")?.split('/') {
        match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(field) => {
                check_string_field(request, field)?;
                write!(out, "Segment::Field({field:?}), ")?;
            }
            None => write!(out, "Segment::Literal({part:?}), ")?,
        }
    }
    Ok(out)
}

/// A path segment is text, so only a string field can take it.
fn check_string_field(request: &MessageDescriptor, path: &str) -> Generated<()> {
    let mut message = request.clone();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let field = message.get_field_by_name(name).ok_or("unknown field in the pattern")?;
        match (field.kind(), names.peek()) {
            (Kind::String, None) if !field.is_list() => return Ok(()),
            (Kind::Message(inner), Some(_)) if !field.is_list() => message = inner,
            _ => return Err("a pattern binds single string fields only".into()),
        }
    }
    Err("a pattern binds string fields only".into())
}
