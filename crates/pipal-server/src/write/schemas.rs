//! Metadata and specs of one stream: each distinct one is decoded once, and each pair of them is mapped once
//! per revision of its resource. A stream that mixes 1,800 measures switches between them by a hash lookup.

use super::mapping::{Mapping, Spec};
use super::span::SpanPlaces;
use crate::metrics::{Counter, ServerMetrics};
use crate::registry::CompiledResource;
use crate::top_n::{MessagePlace, RowTap, TopN, taps_of};
use bytes::Bytes;
use hashbrown::HashMap;
use pipal_api::measure::v1::DataPointSpec;
use pipal_api::write::{MetadataView, Model, WriteSlots, WriteView};
use pipal_engine::SegmentBounds;
use pipal_query::schema::{ELEMENT_ID_FIELD, RowSchema, SPAN_FIELD, TagPlace};
use prost::{DecodeError, Message};
use std::sync::Arc;

/// What a distinct metadata, spec or mapping holds besides its encoded form, roughly, in bytes.
const ENTRY_BYTES: usize = 512;

/// Service and method, as metrics name them.
pub fn metric_labels(model: Model) -> [&'static str; 2] {
    [model.name(), "write"]
}

/// One distinct metadata of the stream.
pub struct Target {
    /// As the client sent it, for the replies.
    pub encoded: Bytes,
    /// Group name.
    pub group: String,
    /// Name of the resource.
    pub name: String,
    /// The revision that the client knows; 0 when it does not care.
    pub revision: i64,
    /// Counts its messages.
    pub counters: MessageCounters,
}

/// Counters of the messages of one group.
pub struct MessageCounters {
    /// Messages that arrived.
    pub received: Counter,
    /// Messages that were refused.
    pub refused: Counter,
    /// Replies.
    pub sent: Counter,
}

/// How messages of one target and spec become rows.
pub struct Plan {
    /// The revision of the resource that the plan was made for.
    pub resource: Arc<CompiledResource>,
    /// Where the values go.
    pub mapping: Mapping,
    /// Where the values with a meaning of their own are; none but for a trace.
    pub span: Option<SpanPlaces>,
    /// What Top-N aggregations take of each row; usually nothing.
    pub taps: Box<[RowTap]>,
    /// Segment of the last row; most rows of a stream fall into one.
    pub segment: Option<SegmentBounds>,
}

/// Everything that messages of the stream refer to without carrying it.
pub struct StreamSchemas {
    model: Model,
    targets: Interned<Target>,
    specs: Interned<Spec>,
    plans: HashMap<(usize, Option<usize>), Plan>,
    target: Option<usize>,
    spec: Option<usize>,
    bytes: usize,
}

impl StreamSchemas {
    /// Without anything in force.
    pub fn new(model: Model) -> Self {
        StreamSchemas {
            model,
            targets: Interned::default(),
            specs: Interned::default(),
            plans: HashMap::new(),
            target: None,
            spec: None,
            bytes: 0,
        }
    }

    /// Puts the metadata and the spec of a message in force, as far as it carries them (specification 2.3).
    pub fn update(
        &mut self,
        view: &WriteView<'_>,
        slots: &WriteSlots<'_>,
        metrics: &ServerMetrics,
    ) -> Result<(), DecodeError> {
        let model = self.model;
        if let Some(metadata) = &view.metadata {
            let decode = |encoded: &Bytes| Ok(Target::new(model, metadata, encoded, metrics));
            self.target = Some(self.targets.intern(metadata.bytes, &mut self.bytes, decode)?);
        }
        if let Some(encoded) = view.spec.or_else(|| slots.spec()) {
            let decode = |encoded: &Bytes| Spec::decode(model, encoded);
            self.spec = Some(self.specs.intern(encoded, &mut self.bytes, decode)?);
        }
        Ok(())
    }

    /// The target in force with its number; none before the first metadata.
    pub fn target(&self) -> Option<(usize, &Target)> {
        let number = self.target?;
        Some((number, self.targets.items.get(number)?))
    }

    /// The plan for `resource`, which is what the target in force names now, and for the spec in force.
    pub fn plan(&mut self, target: usize, resource: Arc<CompiledResource>, top_n: &TopN) -> &mut Plan {
        let spec = self.spec.and_then(|number| self.specs.items.get(number));
        let bytes = &mut self.bytes;
        let mut make = |resource| {
            *bytes += ENTRY_BYTES;
            Plan::new(resource, spec, top_n)
        };
        match self.plans.entry((target, self.spec)) {
            hashbrown::hash_map::Entry::Vacant(slot) => slot.insert(make(resource)),
            hashbrown::hash_map::Entry::Occupied(slot) => {
                let plan = slot.into_mut();
                if !Arc::ptr_eq(&plan.resource, &resource) {
                    *plan = make(resource);
                }
                plan
            }
        }
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What replies need of each target, by number: its encoded metadata and the counter of its replies.
    pub fn echoes(&self) -> Vec<(Bytes, Counter)> {
        let echo = |target: &Target| (target.encoded.clone(), target.counters.sent.clone());
        self.targets.items.iter().map(echo).collect()
    }
}

impl Target {
    fn new(model: Model, metadata: &MetadataView<'_>, encoded: &Bytes, metrics: &ServerMetrics) -> Self {
        let [service, method] = metric_labels(model);
        let labels = [metadata.group, service, method];
        let counters = MessageCounters {
            received: metrics.messages.received.with(&labels),
            refused: metrics.messages.received_err.with(&labels),
            sent: metrics.messages.sent.with(&labels),
        };
        Target {
            encoded: encoded.clone(),
            group: metadata.group.to_owned(),
            name: metadata.name.to_owned(),
            revision: metadata.mod_revision,
            counters,
        }
    }
}

impl Spec {
    fn decode(model: Model, encoded: &Bytes) -> Result<Self, DecodeError> {
        let spec = DataPointSpec::decode(encoded.clone())?;
        let families = spec.tag_family_spec.into_iter().map(|family| (family.name, family.tag_names));
        // What a stream or trace has as field is in every message, whatever the spec.
        let fields = match model {
            Model::Measure => spec.field_names,
            Model::Stream => vec![ELEMENT_ID_FIELD.to_owned()],
            Model::Trace => vec![SPAN_FIELD.to_owned()],
        };
        Ok(Spec { families: families.collect(), fields })
    }

    /// Where messages carry a tag.
    fn place_of(&self, schema: &RowSchema, place: TagPlace) -> Option<MessagePlace> {
        let (family, tag) = (&schema.families.get(place.family)?.name, &schema.tag(place)?.name);
        let position = self.families.iter().position(|(name, _)| **name == **family)?;
        let (_, tags) = self.families.get(position)?;
        Some((position, tags.iter().position(|name| **name == **tag)?))
    }
}

impl Plan {
    fn new(resource: Arc<CompiledResource>, spec: Option<&Spec>, top_n: &TopN) -> Self {
        let mapping = Mapping::compile(&resource.schema, spec);
        let span = SpanPlaces::of(&resource.schema, spec);
        let taps = taps_of(top_n, &resource, |schema, place| match spec {
            Some(spec) => spec.place_of(schema, place),
            None => Some((place.family, place.tag)),
        });
        Plan { resource, mapping, span, taps, segment: None }
    }
}

/// Distinct encoded messages with what was decoded from them, numbered.
struct Interned<T> {
    items: Vec<T>,
    numbers: HashMap<Bytes, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned { items: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T> Interned<T> {
    fn intern(
        &mut self,
        encoded: &[u8],
        bytes: &mut usize,
        decode: impl FnOnce(&Bytes) -> Result<T, DecodeError>,
    ) -> Result<usize, DecodeError> {
        if let Some(&number) = self.numbers.get(encoded) {
            return Ok(number);
        }
        // A copy, since a slice would keep the whole network buffer of the message alive.
        let encoded = Bytes::copy_from_slice(encoded);
        self.items.push(decode(&encoded)?);
        *bytes += 2 * encoded.len() + ENTRY_BYTES;
        let number = self.items.len() - 1;
        self.numbers.insert(encoded, number);
        Ok(number)
    }
}
