//! The start of the client: all schema objects, one call after the other.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use pipal_api::database::v1::Measure;
use tonic::transport::Channel;

use crate::latency::Latencies;
use crate::schema::{SchemaClient, binding, measure_group, tag_rule};
use crate::skywalking::definitions::{Granularity, METADATA_GROUP, metadata_measures, metrics_of, top_n_of};

/// What a start took.
#[derive(Debug, Default)]
pub struct Boot {
    pub measures: u64,
    pub calls: u64,
    pub elapsed: Duration,
    /// Time per measure with all its calls.
    pub per_measure: Latencies,
    /// False if the server answered that it does not serve Top-N aggregations.
    pub has_top_n: bool,
}

/// Creates groups, measures, rules, bindings and Top-N rules where they are absent. With `written_only` metrics
/// that the load does not write are left out.
pub async fn boot(channel: Channel, written_only: &HashSet<&str>) -> Result<Boot, String> {
    let mut client = SchemaClient::new(channel);
    let started = Instant::now();
    let mut boot = Boot { has_top_n: true, ..Default::default() };
    client.create_group(measure_group(METADATA_GROUP, 2, 15, 15)).await?;
    create_all(&mut client, METADATA_GROUP, metadata_measures(), &mut boot).await?;
    for granularity in Granularity::ALL {
        let (shards, segment_days, ttl_days) = granularity.group_options();
        client.create_group(measure_group(granularity.group(), shards, segment_days, ttl_days)).await?;
        let mut measures = metrics_of(granularity);
        if !written_only.is_empty() {
            measures.retain(|measure| is_written(measure, granularity, written_only));
        }
        create_all(&mut client, granularity.group(), measures, &mut boot).await?;
        for top_n in top_n_of(granularity) {
            let source = top_n.source_measure.as_ref().map_or("", |source| &source.name);
            let source = source.trim_end_matches(granularity.suffix());
            if written_only.is_empty() || written_only.contains(source) {
                boot.has_top_n &= client.create_top_n(top_n).await?;
            }
        }
    }
    boot.calls = client.calls;
    boot.elapsed = started.elapsed();
    Ok(boot)
}

fn is_written(measure: &Measure, granularity: Granularity, written: &HashSet<&str>) -> bool {
    let name = measure.metadata.as_ref().map_or("", |metadata| &metadata.name);
    measure.fields.is_empty() || written.contains(name.trim_end_matches(granularity.suffix()))
}

/// Per measure: does it exist, create it, its rules, its binding, wait for the revision.
async fn create_all(
    client: &mut SchemaClient,
    group: &str,
    measures: Vec<Measure>,
    boot: &mut Boot,
) -> Result<(), String> {
    let mut rules_done = HashSet::new();
    for measure in measures {
        let started = Instant::now();
        let name = measure.metadata.as_ref().map_or_else(String::new, |metadata| metadata.name.clone());
        let searchable = measure.tag_families.iter().filter(|family| family.name == "searchable");
        let tags: Vec<String> =
            searchable.flat_map(|family| &family.tags).map(|tag| tag.name.clone()).collect();
        boot.measures += 1;
        if client.measure_exists(group, &name).await? {
            continue;
        }
        let mut revision = client.create_measure(measure).await?;
        for tag in &tags {
            if rules_done.insert(tag.clone()) {
                let analyzer = if tag == "endpoint_traffic_name" { "url" } else { "" };
                let sortable = group == METADATA_GROUP && tag == "start_time";
                revision = revision.max(client.create_rule(tag_rule(group, tag, analyzer, sortable)).await?);
            }
        }
        if !tags.is_empty() {
            revision = revision.max(client.create_binding(binding(group, &name, tags)).await?);
        }
        client.await_revision(revision).await?;
        boot.per_measure.record(started.elapsed());
    }
    Ok(())
}
