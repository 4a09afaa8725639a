//! What a request asks for, checked.

use super::LIMIT_DEFAULT;
use super::criteria::Criteria;
use super::document::entity_of;
use crate::error::QueryResult;
use pipal_api::model::v1::Sort;
use pipal_api::property::v1::QueryRequest;
use pipal_engine::rows::EntitySelector;

/// A checked request.
pub(super) struct Plan<'a> {
    /// Documents of this name only.
    pub name: Option<&'a str>,
    /// Which ids.
    pub selector: EntitySelector,
    /// What documents must satisfy.
    pub criteria: Option<Criteria>,
    /// Tags of the answer; none for all.
    pub projection: Option<&'a [String]>,
    /// Order of the answer.
    pub order: Option<Order<'a>>,
    /// Most documents of the answer.
    pub limit: usize,
}

/// Order by the term of a tag; documents without a value come last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    /// The tag.
    pub tag: &'a str,
    /// Greatest first.
    pub descending: bool,
}

impl<'a> Plan<'a> {
    /// Checks a request. Errors: its criteria are malformed.
    pub fn new(request: &'a QueryRequest) -> QueryResult<Self> {
        let order = request.order_by.as_ref().filter(|order| !order.tag_name.is_empty());
        Ok(Plan {
            name: Some(request.name.as_str()).filter(|name| !name.is_empty()),
            selector: selector_of(&request.ids),
            criteria: request.criteria.as_ref().map(Criteria::compile).transpose()?,
            projection: Some(&*request.tag_projection).filter(|tags| !tags.is_empty()),
            order: order
                .map(|order| Order { tag: &order.tag_name, descending: order.sort == Sort::Desc as i32 }),
            limit: match usize::try_from(request.limit).unwrap_or(usize::MAX) {
                0 => LIMIT_DEFAULT,
                limit => limit,
            },
        })
    }
}

fn selector_of(ids: &[String]) -> EntitySelector {
    if ids.is_empty() {
        return EntitySelector::All;
    }
    let mut entities: Vec<Vec<u8>> = ids.iter().map(|id| entity_of(id)).collect();
    entities.sort_unstable();
    entities.dedup();
    EntitySelector::Exact(entities)
}
