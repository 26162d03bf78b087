//! Works on many items at once. The results are passed on in the order of the items, each as soon as all earlier ones are ready.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;

use super::output::Progress;

/// The number of threads for DNS lookups, which limit the queries to each server themselves.
pub(super) const WAITING: usize = 64;

/// The number of threads for computations.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Runs `work` on each item, on at most this many threads, and passes the results to `each`.
///
/// # Errors
/// The error of `each`, after which no new work is started.
pub(super) fn in_order<T: Sync, R: Send, E>(
    items: &[T],
    threads: usize,
    mut progress: Progress,
    work: impl Fn(&T) -> R + Sync,
    mut each: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let run = |results: Sender<(usize, R)>| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            if results.send((index, work(item))).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        // Dropped at the end of this scope, so that no thread starts new work.
        let (results, arriving) = channel();
        let run = &run;
        let start = |_: &usize| {
            let results = results.clone();
            thread::Builder::new().spawn_scoped(scope, move || run(results)).is_ok()
        };
        // If the system allows fewer threads, the work takes longer.
        if (0..items.len().min(threads)).take_while(start).count() == 0 {
            return items.iter().map(&work).try_for_each(each);
        }
        drop(results);
        let (mut early, mut due) = (BTreeMap::new(), 0_usize);
        loop {
            match arriving.recv_timeout(Progress::INTERVAL) {
                Ok((index, result)) => drop(early.insert(index, result)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Some(result) = early.remove(&due) {
                progress.hide();
                each(result)?;
                due = due.saturating_add(1);
            }
            progress.show(due.saturating_add(early.len()), items.len());
        }
        progress.hide();
        Ok(())
    })
}

/// The results of `work` on each item, in their order.
pub(super) fn all<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    progress: Progress,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    // Threads that compute wait for each other less often if each result is that of several items.
    let size = items.len().checked_div(threads.saturating_mul(8)).unwrap_or_default().clamp(1, 64);
    let parts: Vec<&[T]> = items.chunks(size).collect();
    let mut results = Vec::with_capacity(items.len());
    let add = |some: Vec<R>| {
        results.extend(some);
        Ok::<(), Infallible>(())
    };
    let work = |part: &&[T]| part.iter().map(&work).collect::<Vec<R>>();
    match in_order(&parts, threads, progress.in_parts(size, items.len()), work, add) {
        Ok(()) => results,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let slow_first = |item: &u64| {
            sleep(Duration::from_millis(if item.is_multiple_of(10) { 5 } else { 0 }));
            *item
        };
        assert_eq!(all(&items, 8, Progress::none(), slow_first), items);
    }

    #[test]
    fn a_result_is_passed_on_before_all_work_is_done() {
        let begun = AtomicUsize::new(0);
        let mut first = None;
        let each = |_| {
            first.get_or_insert(begun.load(Ordering::Relaxed));
            Ok::<(), Infallible>(())
        };
        let work = |_: &()| {
            sleep(Duration::from_millis(2));
            begun.fetch_add(1, Ordering::Relaxed);
        };
        in_order(&[(); 200], 2, Progress::none(), work, each).unwrap();
        assert!(first.unwrap() < 100, "{first:?}");
    }

    #[test]
    fn after_an_error_nothing_new_is_begun() {
        let begun = AtomicUsize::new(0);
        let work = |_: &()| {
            begun.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(1));
        };
        let result = in_order(&[(); 1_000], 2, Progress::none(), work, |()| Err(()));
        assert!(result.is_err() && begun.load(Ordering::Relaxed) < 900);
    }

    #[test]
    fn no_more_threads_run_than_allowed() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |_: &()| {
            most.fetch_max(
                now.fetch_add(1, Ordering::Relaxed).saturating_add(1),
                Ordering::Relaxed,
            );
            sleep(Duration::from_millis(1));
            now.fetch_sub(1, Ordering::Relaxed);
        };
        all(&[(); 50], 4, Progress::none(), work);
        assert!(most.into_inner() <= 4);
    }
}
