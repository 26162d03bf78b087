//! Arms, one batch of each after the other, again and again: what changes on this machine meanwhile changes all of them.

use crate::host::{Host, Load};
use crate::statistics::Spread;

/// One way to have mail signed, or not.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    pub(crate) name: &'static str,
    /// Which of the hosts.
    pub(crate) host: usize,
    pub(crate) program: &'static str,
    pub(crate) files: Vec<String>,
    pub(crate) is_signed: bool,
}

/// How much is submitted in one batch, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) submitters: usize,
    pub(crate) count: usize,
    pub(crate) is_lockstep: bool,
    /// Messages in each SMTP session on standard input; 0: each by a call of its own.
    pub(crate) session: usize,
    pub(crate) rounds: usize,
}

impl Plan {
    /// One message after the other.
    pub(crate) fn one_by_one(count: usize, rounds: usize) -> Self {
        Self { submitters: 1, count, is_lockstep: true, session: 0, rounds }
    }

    /// By some submitters at once.
    pub(crate) fn crowd(submitters: usize, count: usize, rounds: usize) -> Self {
        Self { submitters, count, is_lockstep: false, session: 0, rounds }
    }

    /// In SMTP sessions on standard input, one after the other.
    pub(crate) fn sessions(session: usize, rounds: usize) -> Self {
        Self { submitters: 1, count: session, is_lockstep: false, session, rounds }
    }
}

/// What was measured of one arm: a number for each round, or for each message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Milliseconds of processor time a message, of everything, in each round.
    pub(crate) total: Vec<f64>,
    /// Of these, of the submission itself.
    pub(crate) callers: Vec<f64>,
    /// Milliseconds until sendmail(1) returned, for each message.
    pub(crate) calls: Vec<f64>,
    /// Milliseconds until the peer had the message, for each message.
    pub(crate) waits: Vec<f64>,
    /// Messages a second, in each round.
    pub(crate) rates: Vec<f64>,
}

impl Series {
    pub(crate) fn call(&self) -> Spread {
        Spread::of(&self.calls)
    }

    pub(crate) fn wait(&self) -> Spread {
        Spread::of(&self.waits)
    }
}

/// The rounds, after one that is not counted. `between` is called with each arm before its batch.
pub(crate) fn compare(
    hosts: &mut [Host],
    arms: &[Arm],
    plan: Plan,
    mut between: impl FnMut(&mut [Host], usize),
) -> Vec<Series> {
    let mut series = vec![Series::default(); arms.len()];
    for round in 0..=plan.rounds {
        for (number, arm) in arms.iter().enumerate() {
            between(hosts, number);
            // The first round shall be over soon.
            let count = if round == 0 { plan.count.div_ceil(5) } else { plan.count };
            let load = Load {
                program: arm.program,
                submitters: plan.submitters,
                count,
                is_lockstep: plan.is_lockstep,
                session: plan.session,
                files: &arm.files,
            };
            let outcome = hosts[arm.host].send(load);
            let signed = if arm.is_signed { count } else { 0 };
            assert_eq!(outcome.signed, signed, "{}: {}", arm.name, hosts[arm.host].log());
            if round > 0 {
                let one = |nanoseconds: f64| nanoseconds / 1e6 / count as f64;
                let series = &mut series[number];
                series.total.push(one(outcome.callers + outcome.daemons));
                series.callers.push(one(outcome.callers));
                series.calls.extend(outcome.calls.iter().map(|time| time / 1e6));
                series.waits.extend(outcome.waits.iter().map(|time| time / 1e6));
                series.rates.push(count as f64 / (outcome.wall / 1e9));
            }
        }
    }
    series
}
