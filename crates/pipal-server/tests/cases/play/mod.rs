//! Plays case files.

mod ask;
mod rows;

use crate::lang::define::{Kind, Resource, group};
use crate::lang::{Block, Table, blocks};
use crate::values::time;
use crate::world::{STATES, State, World};
use pipal_api::database::v1 as schema;
use pipal_api::property::v1::DeleteRequest;
use pipal_api::write::Model;
use pipal_model::series::element_id;
use rows::RowOf;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// Plays all files of a folder below `data`, or those with the value of `CASES` in their path.
pub fn play_all(folder: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/data").join(folder);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let wanted = std::env::var("CASES").unwrap_or_default();
    assert!(!files.is_empty(), "{folder} has no cases");
    files.retain(|file| file.to_string_lossy().contains(&wanted));
    let mut failures = Vec::new();
    for file in &files {
        failures.extend(play(&file.to_string_lossy(), &std::fs::read_to_string(file).unwrap()));
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// Plays a case that is not in a file.
pub fn play_text(text: &str) {
    let failures = play("case", text);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Plays a case in all states; gives what was wrong.
fn play(name: &str, text: &str) -> Vec<String> {
    let blocks = blocks(text);
    let mut failures = Vec::new();
    for state in STATES {
        let mut player = Player::new(state, name);
        runtime().block_on(player.play(&blocks));
        assert!(player.queries > 0, "{name} asks nothing");
        failures.extend(player.failures);
    }
    failures
}

/// The world after the blocks of a text, brought into a state, and what runs its calls.
pub fn world_of(state: State, text: &str) -> (Runtime, World) {
    let (runtime, mut player) = (runtime(), Player::new(state, "case"));
    runtime.block_on(async {
        player.play(&blocks(text)).await;
        player.world().settle().await;
    });
    assert!(player.failures.is_empty(), "{:?}", player.failures);
    (runtime, player.world.expect("the world is made first"))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Plays one file in one state.
struct Player<'a> {
    world: Option<World>,
    state: State,
    file: &'a str,
    resources: BTreeMap<(String, String), Resource>,
    /// From the ids of elements in answers to those that were written.
    ids: HashMap<String, String>,
    messages: u64,
    /// True when something happened since the last query.
    is_changed: bool,
    queries: usize,
    failures: Vec<String>,
}

impl<'a> Player<'a> {
    fn new(state: State, file: &'a str) -> Self {
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
            let place = format!("{}:{} {:?}", self.file, block.line, self.state);
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
                ("write", [at]) => self.write(at, false, &Table::of(&block.body), &place).await,
                ("write", [at, "bare"]) => self.write(at, true, &Table::of(&block.body), &place).await,
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

    async fn write(&mut self, at: &str, bare: bool, table: &Table, place: &str) {
        let resource = self.resource(at).clone();
        let mut messages = Vec::new();
        let mut expected = Vec::new();
        for (_, row) in &table.rows {
            self.messages += 1;
            let row = RowOf { resource: &resource, table, row, number: self.messages, bare };
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
            let row = RowOf { resource: &resource, table, row, number: 0, bare: false };
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
}
