//! Queries run on threads of their own: they read files and compute, and async threads must do neither.

use pipal_engine::CancelToken;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// Most queries that run or wait to run. One more is refused at once.
pub const QUERIES_MAX: usize = 4_096;

/// Most queries that run at one time, per processor. More than one, since some of them wait for the disk.
const RUNNING_PER_PROCESSOR: usize = 4;

/// Lets a bounded number of queries run.
#[derive(Clone)]
pub struct QueryThreads {
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Default for QueryThreads {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        QueryThreads::new(QUERIES_MAX, processors * RUNNING_PER_PROCESSOR)
    }
}

/// Tells a query to stop when its caller goes away.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl QueryThreads {
    /// Admits `admitted` queries, of which `running` run at one time.
    pub fn new(admitted: usize, running: usize) -> Self {
        QueryThreads {
            admitted: Arc::new(Semaphore::new(admitted)),
            running: Arc::new(Semaphore::new(running)),
        }
    }

    /// Runs `work` on a thread that may block. Dropping the future cancels the token.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when too many queries wait, and what `panicked` makes of a panic.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancelToken) -> T + Send + 'static,
        panicked: impl FnOnce() -> Status,
    ) -> Result<T, Status> {
        let _admitted = self.admit()?;
        let permit =
            self.running.clone().acquire_owned().await.map_err(|_| Status::unavailable("closing"))?;
        let cancel = CancelToken::default();
        let _cancel_on_drop = CancelOnDrop(cancel.clone());
        let run = move || {
            let _permit = permit;
            work(&cancel)
        };
        tokio::task::spawn_blocking(run).await.map_err(|_| panicked())
    }

    fn admit(&self) -> Result<OwnedSemaphorePermit, Status> {
        let refused = |_| Status::resource_exhausted(format!("more than {QUERIES_MAX} queries wait already"));
        self.admitted.clone().try_acquire_owned().map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn panicked() -> Status {
        Status::unknown("panic")
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_cancels_its_query() {
        let threads = QueryThreads::new(1, 1);
        let (started, has_started) = oneshot::channel();
        let (cancelled, was_cancelled) = oneshot::channel();
        let work = move |cancel: &CancelToken| {
            started.send(()).unwrap();
            while !cancel.is_cancelled() {
                std::thread::yield_now();
            }
            cancelled.send(()).unwrap();
        };
        let call = tokio::spawn({
            let threads = threads.clone();
            async move { threads.run(work, panicked).await }
        });
        has_started.await.unwrap();
        let refused = threads.run(|_| (), panicked).await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::ResourceExhausted);
        call.abort();
        was_cancelled.await.unwrap();
        // Its thread gives the place back.
        threads.running.acquire().await.unwrap().forget();
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let result = QueryThreads::new(1, 1).run(|_| panic!("asked to"), panicked).await;
        let status: Result<(), Status> = result;
        assert_eq!(status.unwrap_err().message(), "panic");
    }
}
