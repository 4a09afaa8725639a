//! Sends one write stream and accounts for every reply.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::batch::Batch;
use crate::codec::RawCodec;
use crate::data_model::DataModel;
use crate::ledger::Acknowledged;
use crate::protobuf::{Field, Fields};

const SUCCEED: &[u8] = b"STATUS_SUCCEED";
/// Faults of one stream that are kept as text; all are counted.
const FAULT_TEXTS_MAX: usize = 3;

/// What became of one stream.
#[derive(Debug, Default)]
pub struct StreamOutcome {
    pub sent: u64,
    pub sent_bytes: u64,
    pub acknowledged: u64,
    /// Replies other than one `STATUS_SUCCEED` per message: refusals, unknown or repeated message ids, garbage.
    pub bad_replies: u64,
    /// Why the stream as a whole failed; `None` if it ended well.
    pub failure: Option<String>,
    pub fault_texts: Vec<String>,
    /// From opening the stream to its end.
    pub elapsed: Duration,
    /// One bit per message that was answered at all.
    answered: Vec<u64>,
    /// One bit per message that was answered with success.
    succeeded: Vec<u64>,
}

impl StreamOutcome {
    /// True if every message was answered exactly once with success and the stream ended well.
    pub fn is_clean(&self) -> bool {
        self.failure.is_none() && self.bad_replies == 0 && self.acknowledged == self.sent
    }

    /// Which messages were acknowledged.
    pub fn which(&self) -> Acknowledged {
        match self.acknowledged {
            0 => Acknowledged::None,
            all if all == self.sent => Acknowledged::All,
            _ => Acknowledged::Some(self.succeeded.clone()),
        }
    }

    fn fault(&mut self, text: String) {
        self.bad_replies += 1;
        if self.fault_texts.len() < FAULT_TEXTS_MAX {
            self.fault_texts.push(text);
        }
    }

    /// Accounts for one encoded `WriteResponse` to a message of a stream whose ids start at `first_id`.
    fn take_reply(&mut self, model: DataModel, reply: &[u8], first_id: u64) {
        let (id_field, status_field) = model.reply_fields();
        let (mut id, mut status): (u64, &[u8]) = (0, b"");
        for field in Fields::new(reply) {
            match field {
                Ok(Field::Number(number, value)) if number == id_field => id = value,
                Ok(Field::Bytes(number, value)) if number == status_field => status = value,
                Ok(_) => {}
                Err(error) => return self.fault(format!("unreadable reply: {error}")),
            }
        }
        let index = id.wrapping_sub(first_id);
        let Some(word) = self.answered.get_mut((index / 64).min(usize::MAX as u64) as usize) else {
            return self.fault(format!("reply to message {id} that was never sent"));
        };
        let bit = 1u64 << (index % 64);
        if index >= self.sent || *word & bit != 0 {
            return self.fault(format!("second or foreign reply to message {id}"));
        }
        *word |= bit;
        if status != SUCCEED {
            return self.fault(format!("message {id}: {}", String::from_utf8_lossy(status)));
        }
        self.acknowledged += 1;
        if let Some(word) = self.succeeded.get_mut((index / 64) as usize) {
            *word |= bit;
        }
    }
}

/// Opens a stream, sends the whole batch, half-closes and reads all replies, as the client does.
pub async fn write_stream(channel: Channel, batch: Batch, deadline: Duration) -> StreamOutcome {
    let mut outcome =
        StreamOutcome { sent: batch.len() as u64, sent_bytes: batch.bytes() as u64, ..Default::default() };
    outcome.answered = vec![0; batch.len().div_ceil(64)];
    outcome.succeeded = outcome.answered.clone();
    let (first_id, model) = (batch.first_id, batch.model);
    let started = Instant::now();
    let exchange = exchange(channel, batch, |reply| outcome.take_reply(model, reply, first_id));
    let result = tokio::time::timeout(deadline, exchange).await;
    outcome.elapsed = started.elapsed();
    outcome.failure = match result {
        Err(_) => Some(format!("no end of stream within {} s", deadline.as_secs())),
        Ok(Err(status)) => Some(format!("{:?}: {}", status.code(), status.message())),
        Ok(Ok(())) => None,
    };
    outcome
}

async fn exchange(channel: Channel, batch: Batch, mut on_reply: impl FnMut(&[u8])) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(batch.model.write_path());
    let messages = tokio_stream::iter(batch.into_messages());
    let mut replies = client.streaming(Request::new(messages), path, RawCodec).await?.into_inner();
    while let Some(reply) = replies.message().await? {
        on_reply(&reply);
    }
    Ok(())
}

/// One unary call with an encoded request; the answer stays encoded.
pub async fn call(
    channel: Channel,
    path: &'static str,
    request: Bytes,
    limit: usize,
) -> Result<Bytes, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(limit);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let response = client.unary(Request::new(request), PathAndQuery::from_static(path), RawCodec).await?;
    Ok(response.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::{put_bytes, put_number};

    const MODEL: DataModel = DataModel::Measure;

    fn reply(id: u64, status: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_number(&mut bytes, 1, id);
        put_bytes(&mut bytes, 2, status.as_bytes());
        bytes
    }

    fn outcome(sent: u64) -> StreamOutcome {
        let words = vec![0; sent.div_ceil(64) as usize];
        StreamOutcome { sent, answered: words.clone(), succeeded: words, ..Default::default() }
    }

    #[test]
    fn every_message_answered_once_is_clean() {
        let mut outcome = outcome(100);
        for id in (1000..1100).rev() {
            outcome.take_reply(MODEL, &reply(id, "STATUS_SUCCEED"), 1000);
        }
        assert!(outcome.is_clean());
        assert_eq!(outcome.which(), Acknowledged::All);
    }

    #[test]
    fn replies_to_spans_carry_their_version_behind_the_metadata() {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, 1, b"metadata");
        put_number(&mut bytes, 2, 9);
        put_bytes(&mut bytes, 3, SUCCEED);
        let mut outcome = outcome(1);
        outcome.take_reply(DataModel::Trace, &bytes, 9);
        assert!(outcome.is_clean(), "{:?}", outcome.fault_texts);
    }

    #[test]
    fn missing_repeated_foreign_and_refused_replies_are_faults() {
        let mut missing = outcome(2);
        missing.take_reply(MODEL, &reply(5, "STATUS_SUCCEED"), 5);
        assert!(!missing.is_clean() && missing.bad_replies == 0);

        for faulty in [reply(5, "STATUS_SUCCEED"), reply(4, "STATUS_SUCCEED"), reply(7, "STATUS_SUCCEED")] {
            let mut outcome = outcome(2);
            outcome.take_reply(MODEL, &reply(5, "STATUS_SUCCEED"), 5);
            outcome.take_reply(MODEL, &reply(6, "STATUS_DISK_FULL"), 5);
            outcome.take_reply(MODEL, &faulty, 5);
            assert_eq!((outcome.acknowledged, outcome.bad_replies), (1, 2));
            assert_eq!(outcome.which(), Acknowledged::Some(vec![0b01]));
        }
    }
}
