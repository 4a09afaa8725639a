//! What the queries of the models have of their own.

use super::ModelRequest;
use crate::admission::{GroupStatuses, Question};
use crate::api::{measure, stream, trace};
use pipal_api::write::Model;
use pipal_query::QueryResult;
use pipal_query::context::{Answer, QueryContext};

macro_rules! model_request {
    ($package:ident, $model:ident, $answer:path, $rows:ident) => {
        impl ModelRequest for $package::QueryRequest {
            type Response = $package::QueryResponse;

            fn question(&self) -> Question<'_> {
                Question {
                    model: Model::$model,
                    groups: &self.groups,
                    name: &self.name,
                    time_range: self.time_range.as_ref(),
                    revisions: &self.group_mod_revisions,
                }
            }

            fn is_traced(&self) -> bool {
                self.trace
            }

            fn answer(&self, context: &QueryContext<'_>) -> QueryResult<Answer<Self::Response>> {
                $answer(context, self)
            }

            fn set_statuses(response: &mut Self::Response, statuses: GroupStatuses) {
                response.group_statuses = statuses;
            }

            fn count(response: &Self::Response) -> usize {
                response.$rows.len()
            }
        }
    };
}

model_request!(measure, Measure, pipal_query::measure::query, data_points);
model_request!(stream, Stream, pipal_query::stream::query, elements);
model_request!(trace, Trace, pipal_query::traces::query, traces);
