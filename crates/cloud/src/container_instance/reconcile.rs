//! What is to be done about one container instance: the pure rules.

use super::{
    view::PodState,
    words::{InstanceState, Wish},
};

/// How long an instance that is being started waits for room and images. Source: as long as a pool waits for its nodes
/// before it needs attention.
const PATIENCE_MS: i64 = 10 * 60 * 1000;

/// All that matters of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) wish: Wish,
    pub(super) state: InstanceState,
    /// For how long it is in that state.
    pub(super) age_ms: i64,
    /// A work request waits for its end.
    pub(super) works: bool,
    pub(super) placed: Option<Placed>,
}

/// Its placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// Of the latest start.
    pub(super) current: bool,
    /// The host was told the latest generation.
    pub(super) told: bool,
    /// It was on a host.
    pub(super) seen: bool,
    pub(super) at: At,
}

/// Where the fleet has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// Nowhere.
    Gone,
    /// Without a host, for a reason.
    Waiting(String),
    /// On a host.
    Host(PodState),
    /// On a host of which nothing is heard.
    Silent,
    /// On its way off a host.
    Leaving,
    /// On a host that is given up.
    Lost,
}

/// One thing to do. Each is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Choose a name for the next placement, and store it.
    Assign,
    /// Put the placement, or what has changed of it.
    Put,
    /// Ask for the placement to go: with the instance's grace, or at once.
    Remove { at_once: bool },
    /// Nothing of the placement is left: forget its name.
    Forget,
    /// Enter a state, for a reason.
    Enter(InstanceState, Option<String>),
    /// Say why it is not further.
    Tell(String),
    /// End the work request.
    Finish,
    /// It can't be: nothing shall run, and the work request has failed.
    GiveUp(String),
}

/// Lists what brings an instance nearer to what is wanted of it.
/// Invariant: no I/O, no clock, cannot fail; an instance that is as it should be yields nothing.
pub(super) fn diff(observed: &Observed) -> Vec<Action> {
    let rest = match observed.wish {
        Wish::Run => return run(observed),
        Wish::Stop => match observed.state {
            InstanceState::Failed => InstanceState::Failed,
            _ => InstanceState::Inactive,
        },
        Wish::Delete => InstanceState::Deleted,
    };
    let Some(placed) = &observed.placed else { return settle(observed, rest, None) };
    match leave(placed) {
        Some(action) => vec![action],
        None if placed.at == At::Gone => [vec![Action::Forget], settle(observed, rest, None)].concat(),
        None => vec![],
    }
}

/// What takes a placement off its host; nothing if it is gone or going.
fn leave(placed: &Placed) -> Option<Action> {
    match placed.at {
        At::Gone | At::Leaving => None,
        At::Lost => Some(Action::Remove { at_once: true }),
        At::Waiting(_) | At::Host(_) | At::Silent => Some(Action::Remove { at_once: false }),
    }
}

/// The state in which it stays, if it is not in it, and the end of the work.
fn settle(observed: &Observed, state: InstanceState, why: Option<String>) -> Vec<Action> {
    let enter = (observed.state != state).then_some(Action::Enter(state, why));
    enter.into_iter().chain(observed.works.then_some(Action::Finish)).collect()
}

fn run(observed: &Observed) -> Vec<Action> {
    let starting = matches!(observed.state, InstanceState::Creating | InstanceState::Updating);
    let Some(placed) = &observed.placed else {
        return match observed.state {
            // Its containers have ended, and what was left of them was lost since: that is no reason to run them again.
            InstanceState::Inactive => settle(observed, InstanceState::Inactive, None),
            _ => vec![Action::Assign, Action::Put],
        };
    };
    if !placed.current {
        return match leave(placed) {
            Some(action) => vec![action],
            None if placed.at == At::Gone => vec![Action::Forget, Action::Assign, Action::Put],
            None => vec![],
        };
    }
    let tell = || if placed.told { vec![] } else { vec![Action::Put] };
    match &placed.at {
        At::Gone if placed.seen => match observed.state {
            InstanceState::Inactive => vec![Action::Forget],
            _ => vec![Action::Forget, Action::Assign, Action::Put],
        },
        At::Gone => vec![Action::Put],
        At::Lost => vec![Action::Remove { at_once: true }],
        At::Leaving => vec![],
        At::Silent => vec![Action::Tell("nothing is heard from the instance's host".into())],
        At::Waiting(why) if starting && observed.age_ms > PATIENCE_MS => vec![Action::GiveUp(why.clone())],
        At::Waiting(why) => [tell(), vec![Action::Tell(why.clone())]].concat(),
        At::Host(pod) => [tell(), on_host(observed, pod, starting)].concat(),
    }
}

fn on_host(observed: &Observed, pod: &PodState, starting: bool) -> Vec<Action> {
    match pod {
        PodState::Starting { trouble: Some(why) } if starting => vec![Action::GiveUp(why.clone())],
        PodState::Starting { trouble: None } if starting && observed.age_ms > PATIENCE_MS => {
            vec![Action::GiveUp("not all containers have started within 10 minutes".into())]
        }
        PodState::Starting { trouble } => trouble.clone().map(Action::Tell).into_iter().collect(),
        PodState::Running => settle(observed, InstanceState::Active, None),
        // The host ended it before it ran: it can't be as it was asked for.
        PodState::Ended { why: Some(why) } if observed.state == InstanceState::Creating => {
            vec![Action::GiveUp(why.clone())]
        }
        PodState::Ended { why } => settle(observed, InstanceState::Inactive, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InstanceState::{Active, Creating, Deleted, Deleting, Failed, Inactive, Updating};

    fn at(wish: Wish, state: InstanceState, at: Option<At>) -> Observed {
        let works = matches!(state, Creating | Updating | Deleting);
        let placed = at.map(|at| Placed { current: true, told: true, seen: true, at });
        Observed { wish, state, age_ms: 0, works, placed }
    }

    #[track_caller]
    fn check(observed: Observed, expect: &str) {
        assert_eq!(format!("{:?}", diff(&observed)), expect);
    }

    fn host(pod: PodState) -> Option<At> {
        Some(At::Host(pod))
    }

    #[test]
    fn a_new_instance_is_placed_and_active_once_all_containers_have_started() {
        check(at(Wish::Run, Creating, None), "[Assign, Put]");
        check(at(Wish::Run, Creating, Some(At::Waiting("no room".into()))), "[Tell(\"no room\")]");
        check(at(Wish::Run, Creating, host(PodState::Starting { trouble: None })), "[]");
        check(at(Wish::Run, Creating, host(PodState::Running)), "[Enter(Active, None), Finish]");
        check(at(Wish::Run, Active, host(PodState::Running)), "[]");
    }

    #[test]
    fn what_can_not_start_is_given_up() {
        let trouble = PodState::Starting { trouble: Some("no image".into()) };
        check(at(Wish::Run, Creating, host(trouble.clone())), "[GiveUp(\"no image\")]");
        check(at(Wish::Run, Active, host(trouble)), "[Tell(\"no image\")]");
        let late = Observed { age_ms: PATIENCE_MS + 1, ..at(Wish::Run, Creating, Some(At::Waiting("no room".into()))) };
        check(late, "[GiveUp(\"no room\")]");
        check(at(Wish::Stop, Failed, Some(At::Host(PodState::Running))), "[Remove { at_once: false }]");
        check(at(Wish::Stop, Failed, Some(At::Gone)), "[Forget]");
        check(at(Wish::Stop, Failed, None), "[]");
    }

    #[test]
    fn an_instance_whose_containers_have_ended_is_inactive_and_stays_so() {
        check(at(Wish::Run, Creating, host(PodState::Ended { why: None })), "[Enter(Inactive, None), Finish]");
        check(
            at(Wish::Run, Active, host(PodState::Ended { why: Some("Evicted".into()) })),
            "[Enter(Inactive, Some(\"Evicted\"))]",
        );
        check(at(Wish::Run, Inactive, host(PodState::Ended { why: None })), "[]");
        check(at(Wish::Run, Inactive, Some(At::Gone)), "[Forget]");
        check(at(Wish::Run, Inactive, None), "[]");
    }

    #[test]
    fn stopping_and_deleting_wait_until_nothing_is_left() {
        check(at(Wish::Stop, Updating, host(PodState::Running)), "[Remove { at_once: false }]");
        check(at(Wish::Stop, Updating, Some(At::Leaving)), "[]");
        check(at(Wish::Stop, Updating, Some(At::Gone)), "[Forget, Enter(Inactive, None), Finish]");
        check(at(Wish::Delete, Deleting, Some(At::Lost)), "[Remove { at_once: true }]");
        check(at(Wish::Delete, Deleting, None), "[Enter(Deleted, None), Finish]");
        check(at(Wish::Delete, Deleted, None), "[]");
    }

    #[test]
    fn a_start_replaces_what_is_left_of_the_run_before() {
        let mut old = at(Wish::Run, Updating, host(PodState::Ended { why: None }));
        old.placed.as_mut().unwrap().current = false;
        check(old.clone(), "[Remove { at_once: false }]");
        old.placed.as_mut().unwrap().at = At::Gone;
        check(old, "[Forget, Assign, Put]");
    }

    #[test]
    fn a_lost_host_is_replaced_and_a_silent_one_is_not() {
        check(at(Wish::Run, Active, Some(At::Silent)), "[Tell(\"nothing is heard from the instance's host\")]");
        check(at(Wish::Run, Active, Some(At::Lost)), "[Remove { at_once: true }]");
        check(at(Wish::Run, Active, Some(At::Gone)), "[Forget, Assign, Put]");
        let mut unsent = at(Wish::Run, Active, Some(At::Gone));
        unsent.placed.as_mut().unwrap().seen = false;
        check(unsent, "[Put]");
    }

    #[test]
    fn an_update_reaches_the_host_before_it_is_done() {
        let mut updated = at(Wish::Run, Updating, host(PodState::Running));
        updated.placed.as_mut().unwrap().told = false;
        check(updated, "[Put, Enter(Active, None), Finish]");
        check(at(Wish::Run, Updating, host(PodState::Running)), "[Enter(Active, None), Finish]");
    }
}
