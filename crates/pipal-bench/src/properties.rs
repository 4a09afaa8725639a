//! Documents of the property model as the client keeps its templates (workload model, Q24 and Q25): `Apply` with a part
//! of the tags, then reads by id that must give what was applied last.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipal_api::database::v1::{Property as PropertySchema, TagSpec, TagType};
use pipal_api::model::v1::{Int, Tag, TagValue, tag_value};
use pipal_api::property::v1::property_service_client::PropertyServiceClient;
use pipal_api::property::v1::{ApplyRequest, Property, QueryRequest, apply_request::Strategy};
use tonic::transport::Channel;

use crate::connection::Connections;
use crate::latency::Latencies;
use crate::meter::MeterOptions;
use crate::random::{Random, mix};
use crate::read::text_value;
use crate::report::{Report, Section, round3};
use crate::rows::entities::numbered_name;
use crate::rows::text::Vocabulary;
use crate::schema::{SchemaClient, metadata, property_group};

/// Name of the documents' schema.
pub const NAME: &str = "ui_template";
const FAULT_TEXTS_MAX: usize = 5;
/// Least rate of an open loop, so that its timetable stays within what a clock can show.
const RATE_MIN: f64 = 0.001;
/// One list of all documents in this many operations.
const LIST_EVERY: u64 = 50;

/// Options of `properties`.
#[derive(Debug, Clone, clap::Args)]
pub struct PropertiesOptions {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:17912", value_name = "HOST:PORT")]
    pub addr: String,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Group of the documents
    #[arg(long, default_value = "bench_p")]
    pub group: String,
    /// Documents, shared out evenly among the workers
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub documents: u64,
    /// Bytes of a document's configuration
    #[arg(long, default_value_t = 4_000)]
    pub bytes: usize,
    /// Workers, each with one call at a time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub in_flight: u64,
    /// Operations per second of all workers (open loop): one Apply and one read; default: closed loop
    #[arg(long, value_name = "R")]
    pub rate: Option<f64>,
    /// Work for this time, seconds
    #[arg(long, default_value_t = 30, value_name = "S")]
    pub duration_s: u64,
    #[command(flatten)]
    pub meter: MeterOptions,
}

/// Work on documents.
#[derive(Debug, Clone)]
pub struct PropertyLoad {
    pub group: String,
    pub seed: u64,
    pub documents: u64,
    pub bytes: usize,
    pub workers: u64,
    pub operations_per_second: Option<f64>,
    pub duration: Duration,
}

/// What the work came to.
#[derive(Debug, Default)]
pub struct PropertyTotals {
    pub applied: u64,
    pub applies: Latencies,
    pub reads: Latencies,
    pub lists: Latencies,
    pub failed: u64,
    pub wrong: u64,
    pub texts: Vec<String>,
}

impl PropertyTotals {
    fn absorb(&mut self, other: PropertyTotals) {
        self.applied += other.applied;
        self.applies.absorb(other.applies);
        self.reads.absorb(other.reads);
        self.lists.absorb(other.lists);
        self.failed += other.failed;
        self.wrong += other.wrong;
        let room = FAULT_TEXTS_MAX.saturating_sub(self.texts.len());
        self.texts.extend(other.texts.into_iter().take(room));
    }

    fn fault(&mut self, text: String) {
        if self.texts.len() < FAULT_TEXTS_MAX {
            self.texts.push(text);
        }
    }

    /// Adds a section with these figures, and the faults.
    pub fn report(&self, elapsed: Duration, report: &mut Report) -> Section {
        let mut section = Section::new("properties");
        section
            .figure("applied", self.applied)
            .figure("applied_per_second", round3(self.applied as f64 / elapsed.as_secs_f64().max(1e-9)))
            .figure("failed", self.failed)
            .figure("wrong", self.wrong)
            .latencies("apply_ms", &self.applies)
            .latencies("read_by_id_ms", &self.reads)
            .latencies("list_ms", &self.lists);
        if self.failed + self.wrong > 0 {
            report
                .fault(format!("properties: {} calls failed, {} answers are wrong", self.failed, self.wrong));
            self.texts.iter().for_each(|text| report.fault(format!("properties: {text}")));
        }
        section
    }
}

/// An integer as tag value.
pub fn int_value(value: i64) -> TagValue {
    TagValue { value: Some(tag_value::Value::Int(Int { value })) }
}

/// A tag of a document.
pub fn tag(key: &str, value: TagValue) -> Tag {
    Tag { key: key.to_owned(), value: Some(value) }
}

/// Creates group and schema of the documents where they are absent.
pub async fn create_schema(connections: &Connections, group: &str) -> Result<(), String> {
    let mut client = SchemaClient::new(connections.take()?);
    client.create_group(property_group(group, 1)).await?;
    let spec = |name: &str, kind: TagType| TagSpec { name: name.to_owned(), r#type: kind as i32 };
    let tags = vec![
        spec("template_id", TagType::String),
        spec("configuration", TagType::String),
        spec("update_time", TagType::Int),
        spec("disabled", TagType::Int),
    ];
    let metadata = Some(metadata(group, NAME));
    client.create_property(PropertySchema { metadata, tags, ..Default::default() }).await
}

/// One document as it was applied last; the tags that an `Apply` leaves out keep their values.
#[derive(Debug, Clone)]
struct Document {
    id: String,
    number: u64,
    /// How often it was applied; 0 before the first time.
    writes: u64,
}

impl Document {
    fn configuration(&self, load: &PropertyLoad, vocabulary: &Vocabulary) -> String {
        let mut text = Vec::with_capacity(load.bytes);
        vocabulary.put(&mut text, load.bytes, &mut Random::new(mix(load.seed, self.number)));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The tags that every `Apply` sends, the two that the first one adds behind them.
    fn tags(&self, load: &PropertyLoad, vocabulary: &Vocabulary, writes: u64) -> Vec<Tag> {
        let mut tags = vec![
            tag("update_time", int_value(writes as i64)),
            tag("disabled", int_value((writes % 2) as i64)),
        ];
        tags.push(tag("template_id", text_value(&self.id)));
        tags.push(tag("configuration", text_value(&self.configuration(load, vocabulary))));
        tags
    }
}

/// Compares what came back for one id with what was applied last.
fn compare(found: &[Property], id: &str, expected: &[Tag]) -> Result<(), String> {
    let [property] = found else {
        return Err(format!("{} documents instead of 1 for id {id}", found.len()));
    };
    if property.id != id || property.tags.len() != expected.len() {
        return Err(format!("document {} with {} tags for id {id}", property.id, property.tags.len()));
    }
    match expected.iter().find(|tag| !property.tags.contains(tag)) {
        Some(tag) => Err(format!("tag {} of {id} is not what was applied last", tag.key)),
        None => Ok(()),
    }
}

struct Worker {
    load: Arc<PropertyLoad>,
    vocabulary: Vocabulary,
    client: PropertyServiceClient<Channel>,
    documents: Vec<Document>,
    totals: PropertyTotals,
}

impl Worker {
    /// Applies one document and reads it back.
    async fn step(&mut self, place: usize) {
        let Some(document) = self.documents.get_mut(place) else { return };
        let mut tags = document.tags(&self.load, &self.vocabulary, document.writes + 1);
        let expected = tags.clone();
        let first = document.writes == 0;
        if !first {
            tags.truncate(2);
        }
        let property = Property {
            metadata: Some(metadata(&self.load.group, NAME)),
            id: document.id.clone(),
            tags,
            updated_at: None,
        };
        let request = ApplyRequest { property: Some(property), strategy: Strategy::Merge as i32 };
        let begun = Instant::now();
        let applied = self.client.apply(request).await;
        self.totals.applies.record(begun.elapsed());
        match applied {
            Err(status) => {
                self.totals.failed += 1;
                return self.totals.fault(format!("apply {}: {status}", document.id));
            }
            Ok(reply) => {
                document.writes += 1;
                self.totals.applied += 1;
                let reply = reply.into_inner();
                if (reply.created, reply.tags_num as usize) != (first, expected.len()) {
                    self.totals.wrong += 1;
                    self.totals.fault(format!("apply {}: {reply:?}, first write: {first}", document.id));
                }
            }
        }
        let id = document.id.clone();
        self.read(&id, &expected).await;
    }

    async fn read(&mut self, id: &str, expected: &[Tag]) {
        let request = QueryRequest {
            groups: vec![self.load.group.clone()],
            name: NAME.to_owned(),
            ids: vec![id.to_owned()],
            ..Default::default()
        };
        let begun = Instant::now();
        let answer = self.client.query(request).await;
        self.totals.reads.record(begun.elapsed());
        match answer {
            Err(status) => {
                self.totals.failed += 1;
                self.totals.fault(format!("read {id}: {status}"));
            }
            Ok(answer) => {
                if let Err(text) = compare(&answer.get_ref().properties, id, expected) {
                    self.totals.wrong += 1;
                    self.totals.fault(text);
                }
            }
        }
    }

    /// Lists all documents: every one of this worker must be there exactly once.
    async fn list(&mut self) {
        let limit = i32::MAX as u32;
        let groups = vec![self.load.group.clone()];
        let request = QueryRequest { groups, name: NAME.to_owned(), limit, ..Default::default() };
        let begun = Instant::now();
        let answer = self.client.query(request).await;
        self.totals.lists.record(begun.elapsed());
        let answer = match answer {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                self.totals.failed += 1;
                return self.totals.fault(format!("list: {status}"));
            }
        };
        for document in self.documents.iter().filter(|document| document.writes > 0) {
            let times = answer.properties.iter().filter(|property| property.id == document.id).count();
            if times != 1 {
                self.totals.wrong += 1;
                self.totals.fault(format!("document {} is listed {times} times", document.id));
                return;
            }
        }
    }

    async fn work(mut self, number: u64, started: Instant) -> PropertyTotals {
        let mut random = Random::new(mix(self.load.seed, number));
        for step in 0u64.. {
            let due = match self.load.operations_per_second {
                None => Instant::now(),
                Some(rate) => {
                    let operation = step * self.load.workers + number;
                    started + Duration::from_secs_f64(operation as f64 / rate.max(RATE_MIN))
                }
            };
            if due >= started + self.load.duration {
                break;
            }
            tokio::time::sleep_until(due.into()).await;
            let place = random.below(self.documents.len() as u64) as usize;
            self.step(place).await;
            if step % LIST_EVERY == LIST_EVERY - 1 {
                self.list().await;
            }
        }
        self.totals
    }
}

/// Works on the documents until the time is over. The run's start is part of the ids: no run meets documents of another.
pub async fn work(connections: &Connections, load: PropertyLoad) -> Result<PropertyTotals, String> {
    let load = Arc::new(load);
    let started = Instant::now();
    let run = crate::message_ids::now_nanos();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..load.workers.min(load.documents) {
        let mine = (number..load.documents).step_by(load.workers as usize);
        let document = |number| Document { id: numbered_name(load.seed, run, number), number, writes: 0 };
        let worker = Worker {
            load: Arc::clone(&load),
            vocabulary: Vocabulary::default(),
            client: PropertyServiceClient::new(connections.take()?),
            documents: mine.map(document).collect(),
            totals: PropertyTotals::default(),
        };
        tasks.spawn(worker.work(number, started));
    }
    let mut totals = PropertyTotals::default();
    while let Some(done) = tasks.join_next().await {
        totals.absorb(done.map_err(|error| format!("a worker failed: {error}"))?);
    }
    Ok(totals)
}

/// Runs `properties`.
pub async fn run(options: PropertiesOptions) -> Result<ExitCode, String> {
    let connections = Connections::open(&options.addr, 1).await?;
    create_schema(&connections, &options.group).await?;
    let mut report = Report::default();
    let start = options.meter.start()?;
    let load = PropertyLoad {
        group: options.group,
        seed: options.seed,
        documents: options.documents,
        bytes: options.bytes,
        workers: options.in_flight,
        operations_per_second: options.rate,
        duration: Duration::from_secs(options.duration_s),
    };
    let started = Instant::now();
    let totals = work(&connections, load).await?;
    let mut section = totals.report(started.elapsed(), &mut report);
    options.meter.finish(&start, &mut section, ("documents", totals.applied), 0, &mut report).await?;
    report.push(section);
    Ok(report.print(options.meter.json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_and_stale_documents_are_found() {
        let load = PropertyLoad {
            group: "p".into(),
            seed: 1,
            documents: 2,
            bytes: 100,
            workers: 1,
            operations_per_second: None,
            duration: Duration::ZERO,
        };
        let (vocabulary, document) =
            (Vocabulary::default(), Document { id: "a".into(), number: 0, writes: 3 });
        let property = |writes| Property {
            id: "a".into(),
            tags: document.tags(&load, &vocabulary, writes),
            ..Default::default()
        };
        let expected = document.tags(&load, &vocabulary, 3);
        let mut turned = property(3);
        turned.tags.reverse();
        assert_eq!(compare(&[property(3)], "a", &expected), Ok(()));
        assert_eq!(compare(&[turned], "a", &expected), Ok(()), "the order of tags is the server's");
        for wrong in [vec![], vec![property(3), property(3)], vec![property(2)]] {
            assert!(compare(&wrong, "a", &expected).is_err());
        }
        let mut short = property(3);
        short.tags.pop();
        assert!(compare(&[short], "a", &expected).is_err());
    }
}
