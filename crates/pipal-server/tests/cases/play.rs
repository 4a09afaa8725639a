//! Plays case files.

use crate::lang::define::{Kind, Resource, group};
use crate::lang::query::Statement;
use crate::lang::{Block, Table, blocks};
use crate::show;
use crate::values::{Type, Value, time, timestamp};
use crate::world::{STATES, State, World};
use bytes::Bytes;
use pipal_api::common::v1::Metadata;
use pipal_api::database::v1 as schema;
use pipal_api::model::v1::{Tag, TagFamilyForWrite, TagValue};
use pipal_api::property::v1::apply_request::Strategy;
use pipal_api::property::v1::{ApplyRequest, DeleteRequest, Property};
use pipal_api::write::Model;
use pipal_api::{measure, stream, trace};
use pipal_model::series::element_id;
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Plays all files of a folder below `data`, or those with the value of `CASES` in their path.
pub fn play_all(folder: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/data").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let wanted = std::env::var("CASES").unwrap_or_default();
    files.retain(|file| file.to_string_lossy().contains(&wanted));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut failures = Vec::new();
    let mut queries = 0;
    for file in &files {
        let blocks = blocks(file);
        for state in STATES {
            let mut player = Player::new(state, file);
            runtime.block_on(player.play(&blocks));
            queries += player.queries;
            failures.extend(player.failures);
        }
    }
    println!("{} files, {queries} answers", files.len());
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// Plays one file in one state.
struct Player<'a> {
    world: Option<World>,
    state: State,
    file: &'a Path,
    resources: BTreeMap<(String, String), Resource>,
    /// From the ids of elements in answers to those that were written.
    ids: HashMap<String, String>,
    messages: u64,
    /// True when something happened since the last query.
    is_changed: bool,
    queries: usize,
    failures: Vec<String>,
}

/// An answer, or the text of an error.
type Lines = Result<Vec<String>, String>;

impl<'a> Player<'a> {
    fn new(state: State, file: &'a Path) -> Self {
        Player {
            world: None,
            state,
            file,
            resources: BTreeMap::new(),
            ids: HashMap::new(),
            messages: 0,
            is_changed: true,
            queries: 0,
            failures: Vec::new(),
        }
    }

    fn world(&mut self) -> &mut World {
        self.world.as_mut().expect("the world is made first")
    }

    async fn play(&mut self, blocks: &[Block]) {
        self.world = Some(World::new(self.state).await);
        for block in blocks {
            let place = format!("{}:{} {:?}", self.file.display(), block.line, self.state);
            let words: Vec<&str> = block.head.split_whitespace().collect();
            if words[0] == "query" {
                self.query(block, &place).await;
                continue;
            }
            self.is_changed = true;
            match (words[0], &words[1..]) {
                ("group", rest) => self.define_group(group(rest)).await,
                ("measure", [at]) => self.define(Kind::Measure, at, block).await,
                ("stream", [at]) => self.define(Kind::Stream, at, block).await,
                ("trace", [at]) => self.define(Kind::Trace, at, block).await,
                ("property", [at]) => self.define(Kind::Property, at, block).await,
                ("topn", [at]) => self.define(Kind::TopN, at, block).await,
                ("drop", [at]) => self.drop_resource(at).await,
                ("write", [at]) => self.write(at, &Table::of(&block.body), &place).await,
                ("apply", [at]) => self.apply(at, &Table::of(&block.body), &place).await,
                ("delete", [at, id @ ..]) => self.delete(at, id.first().unwrap_or(&"")).await,
                ("now", [at]) => self.world().clock.set(time(at)),
                ("expire", []) => self.world().expire(),
                _ => panic!("{place}: {:?} is no block", block.head),
            }
        }
    }

    async fn define_group(&mut self, group: pipal_api::common::v1::Group) {
        let registry = self.world().open().registry.clone();
        let name = group.metadata.clone().unwrap_or_default().name;
        match registry.group(&name) {
            None => registry.create_group(group).await.unwrap(),
            Some(_) => registry.update_group(group).await.unwrap(),
        };
    }

    async fn define(&mut self, kind: Kind, at: &str, block: &Block) {
        let resource = Resource::of(kind, at, block);
        let world = self.world();
        for rule in &resource.rules {
            world.put(rule.clone()).await;
        }
        match kind {
            Kind::Measure => world.put(resource.measure()).await,
            Kind::Stream => world.put(resource.stream()).await,
            Kind::Trace => world.put(resource.trace()).await,
            Kind::Property => world.put(resource.property()).await,
            Kind::TopN => world.put(resource.top_n()).await,
        }
        match resource.binding() {
            Some(binding) => world.put(binding).await,
            None => {
                let binding = format!("{}-rules", resource.name);
                let registry = &world.open().registry;
                registry.delete::<schema::IndexRuleBinding>(&resource.group, &binding).await.unwrap();
            }
        }
        self.resources.insert((resource.group.clone(), resource.name.clone()), resource);
    }

    async fn drop_resource(&mut self, at: &str) {
        let resource = self.resource(at).clone();
        let registry = self.world().open().registry.clone();
        let (group, name) = (&resource.group, &resource.name);
        let deleted = match resource.kind {
            Kind::Measure => registry.delete::<schema::Measure>(group, name).await,
            Kind::Stream => registry.delete::<schema::Stream>(group, name).await,
            Kind::Trace => registry.delete::<schema::Trace>(group, name).await,
            Kind::Property => registry.delete::<schema::Property>(group, name).await,
            Kind::TopN => registry.delete::<schema::TopNAggregation>(group, name).await,
        };
        assert!(deleted.unwrap().deleted, "{at} was there");
    }

    fn resource(&self, at: &str) -> &Resource {
        let (group, name) = at.split_once('/').expect("group/name");
        let known = self.resources.get(&(group.to_owned(), name.to_owned()));
        known.unwrap_or_else(|| panic!("{at} is not defined"))
    }

    async fn write(&mut self, at: &str, table: &Table, place: &str) {
        let resource = self.resource(at).clone();
        let mut messages = Vec::new();
        let mut expected = Vec::new();
        for (_, row) in &table.rows {
            self.messages += 1;
            let row = RowOf { resource: &resource, table, row, number: self.messages };
            expected.push((self.messages, format!("STATUS_{}", row.text("@status").unwrap_or("SUCCEED"))));
            if let Some(id) = row.text("@id") {
                let hash = element_id(&resource.group, &resource.name, id);
                self.ids.insert(format!("{hash:016x}"), id.to_owned());
            }
            messages.push(row.message());
        }
        let model = match resource.kind {
            Kind::Measure => Model::Measure,
            Kind::Stream => Model::Stream,
            Kind::Trace => Model::Trace,
            other => panic!("{place}: rows are not written to {other:?}"),
        };
        let mut replies = self.world().write(model, messages).await;
        replies.sort_unstable();
        let found: Vec<_> = replies.iter().map(|(number, status)| (*number, (*status).to_owned())).collect();
        if found != expected {
            self.failures.push(format!("{place}: statuses {found:?} instead of {expected:?}"));
        }
    }

    async fn apply(&mut self, at: &str, table: &Table, place: &str) {
        let resource = self.resource(at).clone();
        for (_, row) in &table.rows {
            let row = RowOf { resource: &resource, table, row, number: 0 };
            let result = self.world().open().changes.apply(row.application()).await;
            self.world().wrote();
            let found = match &result {
                Ok(_) => "SUCCEED",
                Err(status) => status.message(),
            };
            let expected = row.text("@status").unwrap_or("SUCCEED");
            if !found.contains(expected) {
                self.failures.push(format!("{place}: {found:?} instead of {expected:?}"));
            }
        }
    }

    async fn delete(&mut self, at: &str, id: &str) {
        let (group, name) = at.split_once('/').expect("group/name");
        let request = DeleteRequest { group: group.into(), name: name.into(), id: id.into() };
        self.world().open().changes.delete(request).await.unwrap();
        self.world().wrote();
    }

    async fn query(&mut self, block: &Block, place: &str) {
        if std::mem::take(&mut self.is_changed) {
            self.world().settle().await;
        }
        let is_answer = |(_, line): &&(usize, String)| line.starts_with("->");
        let text: Vec<&str> =
            block.body.iter().filter(|line| !is_answer(line)).map(|(_, line)| line.as_str()).collect();
        let mut expected: Vec<String> = Vec::new();
        for (_, line) in block.body.iter().filter(is_answer) {
            expected.extend(line[2..].split(" ; ").map(|row| row.trim().to_owned()));
        }
        assert!(!expected.is_empty(), "{place}: no answer is given");
        let error = expected[0].strip_prefix("error").map(|part| part.trim_start().to_owned());
        if expected == ["nothing"] {
            expected.clear();
        }
        let statement = Statement::of(&text.join(" "));
        let found = self.ask(&statement, false).await;
        self.queries += 1;
        let title = &block.head;
        match (&error, found) {
            (Some(part), Err(text)) if text.contains(&**part) => {}
            (Some(part), found) => {
                self.failures.push(format!("{place} {title}\n   {found:?}\n   instead of the error {part}"));
            }
            (None, found) => {
                let traced = self.ask(&statement, true).await;
                if found != traced {
                    self.failures.push(format!("{place} {title}\n   {found:?}\n   but traced {traced:?}"));
                }
                let mut found = found.unwrap_or_else(|error| vec![format!("error {error}")]);
                if statement.unordered {
                    expected.sort();
                    found.sort();
                }
                if found != expected {
                    self.failures.push(format!(
                        "{place} {title}\n   found    {}\n   expected {}",
                        found.join(" ; "),
                        expected.join(" ; ")
                    ));
                }
            }
        }
    }

    /// The resource of a statement as the groups know it: a tag is looked up in the first group that has it.
    fn view(&self, statement: &Statement) -> Resource {
        let key = |group: &String| (group.clone(), statement.name.clone());
        let known = statement.groups.iter().filter_map(|group| self.resources.get(&key(group)));
        let mut known = known.cloned();
        let mut view = known.next().unwrap_or_default();
        for other in known {
            view.families.extend(other.families);
            view.fields.extend(other.fields);
        }
        if statement.name.is_empty() {
            view.kind = Kind::Property;
        }
        view
    }

    async fn ask(&mut self, statement: &Statement, traced: bool) -> Lines {
        let resource = self.view(statement);
        statement.check(resource.kind);
        let revisions = self.revisions(statement, resource.kind);
        let open = self.world.as_ref().expect("the world is made first").open();
        let failed = |status: tonic::Status| status.message().to_owned();
        match resource.kind {
            Kind::Measure => {
                let mut request = statement.measure(&resource);
                (request.trace, request.group_mod_revisions) = (traced, revisions);
                let answer = open.queries.query(request).await.map_err(failed)?.response;
                let mut lines = statuses(&answer.group_statuses);
                check_trace(traced && lines.is_empty(), answer.trace.as_ref());
                lines.extend(answer.data_points.iter().map(|point| show::point(statement, point)));
                Ok(lines)
            }
            Kind::Stream => {
                let mut request = statement.stream(&resource);
                (request.trace, request.group_mod_revisions) = (traced, revisions);
                let answer = open.queries.query(request).await.map_err(failed)?.response;
                let mut lines = statuses(&answer.group_statuses);
                check_trace(traced && lines.is_empty(), answer.trace.as_ref());
                lines.extend(answer.elements.iter().map(|e| show::element(statement, e, &self.ids)));
                Ok(lines)
            }
            Kind::Trace => {
                let mut request = statement.trace();
                (request.trace, request.group_mod_revisions) = (traced, revisions);
                let answer = open.queries.query(request).await.map_err(failed)?.response;
                let mut lines = statuses(&answer.group_statuses);
                check_trace(traced && lines.is_empty(), answer.trace_query_result.as_ref());
                lines.extend(answer.traces.iter().map(|trace| show::trace(statement, trace)));
                Ok(lines)
            }
            Kind::Property => {
                let mut request = statement.property();
                request.trace = traced;
                let answer = open.documents.query(request).await.map_err(failed)?.response;
                check_trace(traced, answer.trace.as_ref());
                Ok(answer.properties.iter().map(|document| show::document(statement, document)).collect())
            }
            Kind::TopN => {
                let mut request = statement.top_n();
                request.trace = traced;
                let answer = open.queries.top_n(request).await.map_err(failed)?.response;
                Ok(answer.lists.iter().flat_map(|list| show::ranking(statement, list)).collect())
            }
        }
    }

    /// The revisions that the statement claims to know.
    fn revisions(&self, statement: &Statement, kind: Kind) -> HashMap<String, i64> {
        let model = match kind {
            Kind::Stream => Model::Stream,
            Kind::Trace => Model::Trace,
            _ => Model::Measure,
        };
        let registry = &self.world.as_ref().expect("the world is made first").open().registry;
        let revision = |(group, what): &(String, String)| {
            let now = registry.resource(model, group, &statement.name).map_or(7, |known| known.revision());
            let claimed = match &**what {
                "current" => now,
                "older" => now - 1,
                "newer" => now + 1,
                _ => panic!("{what:?} is no revision"),
            };
            (group.clone(), claimed)
        };
        statement.knowing.iter().map(revision).collect()
    }
}

/// The statuses of groups that did not succeed.
fn statuses(statuses: &HashMap<String, i32>) -> Vec<String> {
    use pipal_api::model::v1::Status;
    let name = |status: i32| Status::try_from(status).unwrap_or_default().as_str_name();
    let failed = statuses.iter().filter(|(_, status)| **status != Status::Succeed as i32);
    let mut lines: Vec<String> = failed.map(|(group, status)| format!("{group} {}", name(*status))).collect();
    lines.sort();
    lines
}

fn check_trace(traced: bool, trace: Option<&pipal_api::common::v1::Trace>) {
    assert!(!traced || trace.is_some_and(|trace| !trace.spans.is_empty()), "a trace has a span at least");
}

/// A row of a table for a resource.
struct RowOf<'a> {
    resource: &'a Resource,
    table: &'a Table,
    row: &'a [String],
    number: u64,
}

impl RowOf<'_> {
    /// The cell of a column, if it is there.
    fn text(&self, column: &str) -> Option<&str> {
        let at = self.table.columns.iter().position(|name| name == column)?;
        self.row.get(at).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The columns of tags and fields, and what the resource says of them.
    fn columns(&self) -> impl Iterator<Item = &str> {
        self.table.columns.iter().map(String::as_str).filter(|name| !name.starts_with('@'))
    }

    fn value(&self, column: &str, ty: Type) -> Option<Value> {
        let at = self.table.columns.iter().position(|name| name == column)?;
        self.row.get(at).map(|text| Value::of_cell(text, ty))
    }

    fn time(&self) -> prost_types::Timestamp {
        timestamp(time(self.text("@time").expect("a row has a time")))
    }

    /// Tags by family, in the order of the columns, with their names. A column that the resource does not know is text
    /// of the first family.
    fn families(&self) -> (Vec<(String, Vec<String>)>, Vec<TagFamilyForWrite>) {
        let (mut spec, mut values): (Vec<(String, Vec<String>)>, Vec<TagFamilyForWrite>) = Default::default();
        for column in self.columns().filter(|column| self.resource.field(column).is_none()) {
            let default = (self.resource.families[0].0.as_str(), Type::Str);
            let (family, ty) = self.resource.tag(column).unwrap_or(default);
            let at = spec.iter().position(|(known, _)| known == family).unwrap_or_else(|| {
                spec.push((family.to_owned(), Vec::new()));
                values.push(TagFamilyForWrite::default());
                spec.len() - 1
            });
            spec[at].1.push(column.to_owned());
            values[at].tags.extend(self.value(column, ty).map(|value| value.tag()));
        }
        (spec, values)
    }

    fn metadata(&self) -> Option<Metadata> {
        self.resource.metadata()
    }

    fn message(&self) -> Bytes {
        match self.resource.kind {
            Kind::Measure => self.point().encode_to_vec().into(),
            Kind::Stream => self.element().encode_to_vec().into(),
            _ => self.span().encode_to_vec().into(),
        }
    }

    fn point(&self) -> measure::v1::WriteRequest {
        use measure::v1::{DataPointSpec, DataPointValue, TagFamilySpec, WriteRequest};
        let (names, tag_families) = self.families();
        let spec = |(name, tag_names)| TagFamilySpec { name, tag_names };
        let tag_family_spec = names.into_iter().map(spec).collect();
        let known = self.columns().filter_map(|name| Some((name, self.resource.field(name)?)));
        let (mut field_names, mut fields) = (Vec::new(), Vec::new());
        for (name, ty) in known {
            field_names.push(name.to_owned());
            fields.extend(self.value(name, ty).map(|value| value.field()));
        }
        let version = self.text("@version").map_or(0, |version| version.parse().unwrap());
        WriteRequest {
            metadata: self.metadata(),
            data_point: Some(DataPointValue { timestamp: Some(self.time()), tag_families, fields, version }),
            message_id: self.number,
            data_point_spec: Some(DataPointSpec { tag_family_spec, field_names }),
        }
    }

    fn element(&self) -> stream::v1::WriteRequest {
        use stream::v1::{ElementValue, TagFamilySpec, WriteRequest};
        let (names, tag_families) = self.families();
        let spec = |(name, tag_names)| TagFamilySpec { name, tag_names };
        let element_id = self.text("@id").unwrap_or_default().to_owned();
        WriteRequest {
            metadata: self.metadata(),
            element: Some(ElementValue { element_id, timestamp: Some(self.time()), tag_families }),
            message_id: self.number,
            tag_family_spec: names.into_iter().map(spec).collect(),
        }
    }

    fn span(&self) -> trace::v1::WriteRequest {
        let tag = |name: &str| {
            let ty = self.resource.tag(name).map_or(Type::Str, |(_, ty)| ty);
            self.value(name, ty).map(|value| value.tag())
        };
        let tags: Vec<TagValue> = self.columns().filter_map(tag).collect();
        let tag_names = self.columns().map(str::to_owned).collect();
        trace::v1::WriteRequest {
            metadata: self.metadata(),
            tags,
            span: self.text("@span").unwrap_or_default().as_bytes().to_vec().into(),
            version: self.number,
            tag_spec: Some(trace::v1::TagSpec { tag_names }),
        }
    }

    fn application(&self) -> ApplyRequest {
        let mut tags = Vec::new();
        for column in self.columns() {
            let Some(text) = self.text(column) else { continue };
            let ty = self.resource.tag(column).map_or(Type::Str, |(_, ty)| ty);
            tags.push(Tag { key: column.to_owned(), value: Some(Value::of_cell(text, ty).tag()) });
        }
        let strategy = match self.text("@strategy") {
            None => Strategy::Unspecified,
            Some("merge") => Strategy::Merge,
            Some("replace") => Strategy::Replace,
            Some(other) => panic!("{other:?} is no strategy"),
        };
        let id = self.text("@id").unwrap_or_default().to_owned();
        let property = Property { metadata: self.metadata(), id, tags, updated_at: None };
        ApplyRequest { property: Some(property), strategy: strategy as i32 }
    }
}
