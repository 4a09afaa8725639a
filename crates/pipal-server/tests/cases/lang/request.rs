//! Statements as requests of the models.

use super::define::Resource;
use super::query::Statement;
use crate::values::timestamp;
use pipal_api::model::v1::{
    AggregationFunction, Condition, Criteria, QueryOrder, Sort, TagProjection, TimeRange, criteria::Exp,
    logical_expression::LogicalOp, tag_projection,
};
use pipal_api::{measure, property, stream, trace};

impl Statement {
    fn items(&self) -> impl Iterator<Item = &str> {
        self.show.iter().map(String::as_str).filter(|item| !item.starts_with('@'))
    }

    /// The tags to show, by family, and the fields.
    fn projections(&self, resource: &Resource) -> (Option<TagProjection>, Vec<String>) {
        let (mut tags, mut fields) = (Vec::new(), Vec::new());
        for item in self.items() {
            if let Some(field) = item.strip_prefix("field:") {
                fields.push(field.to_owned());
            } else if let Some((family, tag)) = item.split_once('.') {
                push_tag(&mut tags, family, tag);
            } else if let Some((family, _)) = resource.tag(item) {
                push_tag(&mut tags, family, item);
            } else {
                assert!(resource.field(item).is_some(), "{item:?} is neither a tag nor a field");
                fields.push(item.to_owned());
            }
        }
        ((!tags.is_empty()).then_some(TagProjection { tag_families: tags }), fields)
    }

    fn time_range(&self) -> Option<TimeRange> {
        let (begin, end) = self.during?;
        Some(TimeRange { begin: Some(timestamp(begin)), end: Some(timestamp(end)) })
    }

    fn order_by(&self) -> Option<QueryOrder> {
        let order =
            |(rule, sort): &(String, Sort)| QueryOrder { index_rule_name: rule.clone(), sort: *sort as i32 };
        self.order.as_ref().map(order)
    }

    fn function(&self) -> Option<(i32, String)> {
        let (function, field) = self.agg.as_ref()?;
        let function = match &**function {
            "mean" => AggregationFunction::Mean,
            "max" => AggregationFunction::Max,
            "min" => AggregationFunction::Min,
            "count" => AggregationFunction::Count,
            "sum" => AggregationFunction::Sum,
            _ => AggregationFunction::Unspecified,
        };
        Some((function as i32, field.clone()))
    }

    pub fn measure(&self, resource: &Resource) -> measure::v1::QueryRequest {
        use measure::v1::query_request::{Aggregation, FieldProjection, GroupBy, Top};
        let (tag_projection, fields) = self.projections(resource);
        let group_by = (!self.group.is_empty()).then(|| {
            let mut families = Vec::new();
            for item in &self.group {
                let own = resource.tag(item).map_or("d", |(family, _)| family);
                let (family, tag) = item.split_once('.').unwrap_or((own, item));
                push_tag(&mut families, family, tag);
            }
            GroupBy {
                tag_projection: Some(TagProjection { tag_families: families }),
                field_name: String::new(),
            }
        });
        let agg = self.function().map(|(function, field_name)| Aggregation { function, field_name });
        let top = self.top.clone().map(|(number, field_name, sort)| Top {
            number,
            field_name,
            field_value_sort: sort as i32,
        });
        measure::v1::QueryRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            time_range: self.time_range(),
            criteria: self.criteria.clone(),
            tag_projection,
            field_projection: (!fields.is_empty()).then_some(FieldProjection { names: fields }),
            group_by,
            agg,
            top,
            offset: self.offset,
            limit: self.limit,
            order_by: self.order_by(),
            ..Default::default()
        }
    }

    pub fn stream(&self, resource: &Resource) -> stream::v1::QueryRequest {
        stream::v1::QueryRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            time_range: self.time_range(),
            offset: self.offset,
            limit: self.limit,
            order_by: self.order_by(),
            criteria: self.criteria.clone(),
            projection: Some(self.projections(resource).0.unwrap_or_default()),
            ..Default::default()
        }
    }

    pub fn trace(&self) -> trace::v1::QueryRequest {
        trace::v1::QueryRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            time_range: self.time_range(),
            offset: self.offset,
            limit: self.limit,
            order_by: self.order_by(),
            criteria: self.criteria.clone(),
            tag_projection: self.items().map(str::to_owned).collect(),
            ..Default::default()
        }
    }

    pub fn property(&self) -> property::v1::QueryRequest {
        let order = |(tag, sort): &(String, Sort)| property::v1::QueryOrder {
            tag_name: tag.clone(),
            sort: *sort as i32,
        };
        property::v1::QueryRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            ids: self.ids.clone(),
            criteria: self.criteria.clone(),
            tag_projection: self.items().map(str::to_owned).collect(),
            limit: self.limit,
            order_by: self.order.as_ref().map(order),
            ..Default::default()
        }
    }

    pub fn top_n(&self) -> measure::v1::TopNRequest {
        let (top_n, sort) = self.best.unwrap_or((10, Sort::Desc));
        measure::v1::TopNRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            time_range: self.time_range(),
            top_n,
            agg: self.function().map_or(0, |(function, _)| function),
            conditions: self.criteria.as_ref().map_or_else(Vec::new, conditions),
            field_value_sort: sort as i32,
            ..Default::default()
        }
    }
}

/// The conditions of a conjunction.
fn conditions(criteria: &Criteria) -> Vec<Condition> {
    match criteria.exp.as_ref().expect("conditions have content") {
        Exp::Condition(condition) => vec![condition.clone()],
        Exp::Le(node) => {
            assert_eq!(node.op, LogicalOp::And as i32, "conditions of TopN are joined by AND");
            let sides = [&node.left, &node.right];
            sides.into_iter().flatten().flat_map(|side| conditions(side)).collect()
        }
    }
}

fn push_tag(families: &mut Vec<tag_projection::TagFamily>, family: &str, tag: &str) {
    match families.last_mut().filter(|last| last.name == family) {
        Some(last) => last.tags.push(tag.to_owned()),
        None => families.push(tag_projection::TagFamily { name: family.into(), tags: vec![tag.into()] }),
    }
}
