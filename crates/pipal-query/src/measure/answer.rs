//! The answer: result rows as messages (measure specification, 1.6 and 3.3).

use super::plan::{Operation, Plan};
use super::sink::Outcome;
use crate::tags::EmptyArrays;
use crate::trace::timestamp;
use crate::values::text_of;
use crate::view::View;
use pipal_api::measure::v1::{DataPoint, data_point};
use pipal_api::model::v1::{FieldValue, Float, Int, Str, TagFamily, field_value};
use pipal_model::{ColumnType, ValueRef};

/// Builds the messages of the result rows that offset and limit leave.
pub(crate) fn data_points(plan: &Plan, outcome: &Outcome) -> Vec<DataPoint> {
    let offset = usize::try_from(plan.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(plan.limit).unwrap_or(usize::MAX);
    let aggregated = matches!(plan.operation, Operation::Aggregate(..));
    outcome.rows.with_view(|view| {
        let rows = outcome.order.iter().enumerate().skip(offset).take(limit);
        let mut builder = Builder::new(plan);
        rows.map(|(position, row)| match outcome.numbers.get(position) {
            Some(number) if aggregated => builder.aggregated(view, *row as usize, number.as_ref()),
            _ => builder.plain(view, *row as usize),
        })
        .collect()
    })
}

/// About the bytes that the messages of the answer hold beside the values' own, given the number of result rows.
pub(crate) fn message_bytes(plan: &Plan, result_rows: usize) -> usize {
    let shown = result_rows.min(usize::try_from(plan.limit).unwrap_or(usize::MAX));
    let output = &plan.output;
    let fields: usize = output.fields.iter().map(|f| f.name.len() + size_of::<data_point::Field>()).sum();
    shown.saturating_mul(size_of::<DataPoint>() + output.tags.message_bytes() + fields)
}

/// Builds messages of rows.
pub(crate) struct Builder<'a> {
    plan: &'a Plan,
    scratch: Vec<u8>,
}

impl<'a> Builder<'a> {
    /// A builder for the answers of a plan.
    pub fn new(plan: &'a Plan) -> Self {
        Builder { plan, scratch: Vec::new() }
    }

    /// A row with its time, series id and version.
    pub fn plain(&mut self, view: &View<'_>, row: usize) -> DataPoint {
        let (series, _) = view.series_of(row);
        DataPoint {
            timestamp: Some(timestamp(view.times[row])),
            tag_families: self.tag_families(view, row),
            fields: self.fields(view, row),
            sid: view.series.sid(series),
            version: view.versions[row],
        }
    }

    /// Aggregated rows have no time, series id or version, and one field.
    fn aggregated(&mut self, view: &View<'_>, row: usize, number: ValueRef<'_>) -> DataPoint {
        let name = self.plan.output.fields.first().map_or_else(String::new, |field| field.name.clone());
        let field = data_point::Field { name, value: Some(FieldValue { value: Some(field_value(number)) }) };
        DataPoint { tag_families: self.tag_families(view, row), fields: vec![field], ..DataPoint::default() }
    }

    fn tag_families(&mut self, view: &View<'_>, row: usize) -> Vec<TagFamily> {
        self.plan.output.tags.messages(view, row, EmptyArrays::Null, &mut self.scratch)
    }

    fn fields(&self, view: &View<'_>, row: usize) -> Vec<data_point::Field> {
        let (_, group) = view.series_of(row);
        let mut fields = Vec::with_capacity(self.plan.output.fields.len());
        for field in &self.plan.output.fields {
            let value = match field.columns[group] {
                None => field_value::Value::Null(0),
                Some(column) => match view.column_value(column, row) {
                    ValueRef::Null => null_field(self.plan.shape.columns[column].ty),
                    value => field_value(value),
                },
            };
            fields.push(data_point::Field {
                name: field.name.clone(),
                value: Some(FieldValue { value: Some(value) }),
            });
        }
        fields
    }
}

/// The value of a field. A value that was not there when the row was written is null.
pub(crate) fn field_value(value: ValueRef<'_>) -> field_value::Value {
    match value {
        ValueRef::Str(text) => field_value::Value::Str(Str { value: text_of(text) }),
        ValueRef::Int(value) => field_value::Value::Int(Int { value }),
        ValueRef::Float(value) => field_value::Value::Float(Float { value }),
        ValueRef::Binary(bytes) => field_value::Value::BinaryData(bytes.to_vec().into()),
        _ => field_value::Value::Null(0),
    }
}

/// A null field reads as null if it is a number, and as empty text or bytes if it is not.
fn null_field(ty: ColumnType) -> field_value::Value {
    match ty {
        ColumnType::Str => field_value::Value::Str(Str::default()),
        ColumnType::Binary => field_value::Value::BinaryData(Default::default()),
        _ => field_value::Value::Null(0),
    }
}
