//! What all threads know about each server: how many queries it has to answer now, and whether it answers at all.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The most concurrent queries to one server. They must not be a burden for a resolver, and one slow server must not block all
/// threads.
pub(super) const AT_ONCE: usize = 32;

/// The servers that were queried.
#[derive(Debug, Default)]
pub(super) struct Servers(Mutex<HashMap<SocketAddr, Arc<Server>>>);

/// One server.
#[derive(Debug, Default)]
pub(super) struct Server {
    state: Mutex<State>,
    /// Notified when a query ended, or when the server turned out to be silent.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    questions: usize,
    /// When the server last answered.
    heard: Option<Instant>,
    /// How many queries since then got no answer.
    unanswered: usize,
}

/// After this many queries without any answer, a server is not queried again. A server may leave a few unanswered, such as those
/// for zones that it does not serve.
const SILENT: usize = 8;

impl State {
    fn is_silent(&self) -> bool {
        self.unanswered >= SILENT
    }
}

/// A permit to send one query to a server.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Server);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic cannot leave the data half written, because each change is a single assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Servers {
    pub(super) fn of(&self, address: SocketAddr) -> Arc<Server> {
        Arc::clone(lock(&self.0).entry(address).or_default())
    }
}

impl Server {
    /// Waits until another query may be sent to the server. `None` if it does not answer.
    pub(super) fn turn(&self) -> Option<Turn<'_>> {
        let is_busy = |state: &mut State| state.questions >= AT_ONCE && !state.is_silent();
        let state = self.changed.wait_while(lock(&self.state), is_busy);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.is_silent() {
            return None;
        }
        state.questions = state.questions.saturating_add(1);
        Some(Turn(self))
    }

    /// The server answered.
    pub(super) fn heard(&self) {
        let mut state = lock(&self.state);
        (state.heard, state.unanswered) = (Some(Instant::now()), 0);
    }

    /// A query that was sent at this time got no answer.
    pub(super) fn gave_no_answer(&self, asked: Instant) {
        let mut state = lock(&self.state);
        if state.heard.is_none_or(|heard| heard < asked) {
            state.unanswered = state.unanswered.saturating_add(1);
            self.changed.notify_all();
        }
    }

    /// Whether to expect no answer any more.
    pub(super) fn is_silent(&self) -> bool {
        lock(&self.state).is_silent()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.questions = state.questions.saturating_sub(1);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave_unanswered(server: &Server, count: usize, asked: Instant) {
        (0..count).for_each(|_| server.gave_no_answer(asked));
    }

    #[test]
    fn a_server_that_answers_any_question_is_not_silent() {
        let server = Server::default();
        let asked = Instant::now();
        leave_unanswered(&server, SILENT - 1, asked);
        assert!(server.turn().is_some());
        server.heard();
        leave_unanswered(&server, SILENT, asked);
        assert!(server.turn().is_some());
        leave_unanswered(&server, SILENT, Instant::now());
        assert!(server.turn().is_none());
        // The server was only slow.
        server.heard();
        assert!(server.turn().is_some());
    }

    #[test]
    fn a_turn_ends_with_its_question() {
        let server = Server::default();
        for _ in 0..2 {
            let turns: Vec<_> = (0..AT_ONCE).map(|_| server.turn().unwrap()).collect();
            assert_eq!(turns.len(), AT_ONCE);
        }
    }

    #[test]
    fn who_waits_for_a_turn_at_a_server_that_falls_silent_waits_no_longer() {
        let server = Server::default();
        let asked = Instant::now();
        let turns: Vec<_> = (0..AT_ONCE).map(|_| server.turn().unwrap()).collect();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| server.turn().is_none());
            leave_unanswered(&server, SILENT, asked);
            assert!(waiting.join().unwrap());
        });
        drop(turns);
    }
}
