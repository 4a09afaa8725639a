//! Asks the queries of a file and compares the answers.

use super::Player;
use crate::lang::Block;
use crate::lang::define::{Kind, Resource};
use crate::lang::query::Statement;
use crate::show;
use pipal_api::write::Model;
use std::collections::HashMap;

/// An answer, or the text of an error.
type Lines = Result<Vec<String>, String>;

impl Player<'_> {
    pub(super) async fn query(&mut self, block: &Block, place: &str) {
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
        if statement.is_ranking() {
            view.kind = Kind::TopN;
        } else if view.group.is_empty() {
            // Nothing of that name is known: its model is that of the group.
            let neighbour = self.resources.values().find(|other| statement.groups.contains(&other.group));
            view.kind = neighbour.map_or(Kind::Measure, |other| other.kind);
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
