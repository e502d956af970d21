//! What servers have of backends already: the actions of a link made, looked up in action caches, their results fetched.
//! Knows nothing of executing what is not there.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rayon::prelude::*;

use super::action::{Action, Making, Stays};
use super::ahead::{Ahead, Contents, Ready};
use super::receive::{self, Due, Flaw, From, Received};
use super::watch::{GivenUp, Watch};
use super::{By, Ended, Ran, Sharing, place};
use crate::backend::jobs::Jobs;
use crate::children::Children;
use crate::remote::{Blob, Client, Digest, RemoteError};
use crate::staging::Staging;

/// A job that can be sent.
pub(super) struct Sendable {
    pub(super) job: usize,
    pub(super) digest: Digest,
    /// Its own blobs, those of modules and compiler left out.
    pub(super) blobs: Vec<Blob>,
}

/// The digests of all modules that these backends read.
pub(super) fn modules(jobs: &dyn Jobs, ats: &[usize], contents: &Contents) -> HashMap<usize, Digest> {
    let reads: BTreeSet<usize> = ats.iter().flat_map(|at| jobs.reads(*at)).collect();
    let reads: Vec<usize> = reads.into_iter().collect();
    let digest = |read: &usize| {
        let file = jobs.module_file(*read).ok()?;
        let digest = match file.passing {
            Some(bytes) => Digest::of(bytes),
            None => contents.of(&file.path).ok()?.0,
        };
        Some((*read, digest))
    };
    reads.par_iter().filter_map(digest).collect()
}

/// Makes the actions of these jobs, which go by their place in the list. What stays is told with why.
pub(super) fn actions(
    making: &Making<'_>,
    waiting: &[usize],
    sharing: &Sharing,
    stays: impl Fn(usize, Stays) + Sync,
) -> Vec<Sendable> {
    let make = |(job, at): (usize, &usize)| match making.action(*at) {
        Ok((action, blobs)) => {
            let digest = action.digest;
            tracing::debug!(module = making.jobs.shown(*at), action = %digest, "action");
            keep(sharing, *at, action);
            Some(Sendable { job, digest, blobs })
        }
        Err(why) => {
            tracing::info!(module = making.jobs.shown(*at), %why, "not to be sent");
            *sharing.account().stay.entry(why.to_string()).or_default() += 1;
            stays(job, why);
            None
        }
    };
    waiting.par_iter().enumerate().filter_map(make).collect()
}

fn keep(sharing: &Sharing, at: usize, action: Action) {
    if let Some(place) = sharing.actions.get(at) {
        // Made once; a second would be the same.
        let _ = place.set(action);
    }
}

/// Looks jobs up in a server's action cache: what it has is `due`, and by its place in the list whether it has one.
/// `heard` is told of each answer.
///
/// # Errors
/// The first that the server has given for any of them. After one that others would share no more is asked or fetched.
pub(super) fn look(
    client: &Client,
    sendable: &[Sendable],
    waiting: &[usize],
    due: &Sender<Due>,
    heard: impl Fn(),
) -> (Vec<bool>, Option<RemoteError>) {
    let digests: Vec<Digest> = sendable.iter().map(|one| one.digest).collect();
    let (mut has, mut error) = (vec![false; digests.len()], None);
    client.cached_all(&digests, |number, answer| {
        heard();
        match answer {
            Ok(Some(result)) => {
                let job = sendable[number].job;
                has[number] = true;
                // They are there as long as results come.
                let _ = due.send(Due {
                    job,
                    at: waiting[job],
                    result,
                    from: From::Cache,
                });
            }
            Ok(None) => {}
            Err(failed) => {
                // It has been tried again; the others would be as often.
                if failed.is_retryable() {
                    client.close();
                }
                error.get_or_insert(failed);
            }
        }
    });
    (has, error)
}

/// Looks jobs up in a cache and fetches what it has, for as long as that makes sense: `received` is told of each, and says
/// what is wrong where it is no good. By its place whether the cache has had a job, and why the cache was given up, if it was.
pub(super) fn take(
    client: &Client,
    sendable: &[Sendable],
    waiting: &[usize],
    is_over: &(dyn Fn() -> bool + Sync),
    received: &(dyn Fn(Due, Result<Received, Flaw>) -> Option<Flaw> + Sync),
) -> (Vec<bool>, Option<GivenUp>) {
    let (due, dues) = channel();
    let dues = Mutex::new(dues);
    let ((has, error), given_up) = Watch::of(client, is_over).over(|watch| {
        let received = |due: Due, fetched: Result<Received, Flaw>| {
            watch.heard();
            if let Some(Flaw::Server(error)) = received(due, fetched) {
                watch.failed(&error);
            }
        };
        thread::scope(|scope| {
            let attend = || receive::attend(client, &dues, &received);
            let receiver = |_| thread::Builder::new().spawn_scoped(scope, attend).ok();
            let receivers = (0..receive::THREADS).map_while(receiver).count();
            let looked = look(client, sendable, waiting, &due, || watch.heard());
            drop(due);
            if receivers == 0 {
                attend();
            }
            looked
        })
    });
    let failed = error.map(|error| GivenUp::Failed(error.to_string()));
    (has, given_up.or(failed))
}

/// A shared cache behind our own, with nobody who executes.
pub(in crate::backend) struct Lookups<'a> {
    pub(in crate::backend) jobs: &'a dyn Jobs,
    pub(in crate::backend) staging: &'a Staging,
    pub(in crate::backend) children: &'a Children,
    pub(in crate::backend) sharing: &'a Sharing,
}

impl Lookups<'_> {
    /// Takes what the cache has of these jobs; `ended` is told of each.
    pub(in crate::backend) fn take(&self, ahead: Ahead, waiting: &[usize], ended: impl Fn(usize, Ended) + Sync) {
        let is_over = || self.children.interrupted().is_some();
        let platform = ahead.wanted.platform.clone();
        let Some(ready) = ahead.ready(&is_over) else { return };
        self.sharing
            .asks(ready.cache.iter().filter_map(|(_, client)| client.as_ref().ok()));
        let Ready {
            cache: Some((access, Ok(client))),
            compiler: Ok(compiler),
            contents,
            ..
        } = &ready
        else {
            self.sharing.account().cache_off = why_not(&ready);
            return;
        };
        let modules = modules(self.jobs, waiting, contents);
        let making = Making {
            jobs: self.jobs,
            staging: self.staging,
            compiler,
            platform: &platform,
            digest: &|path: &Path| contents.of(path),
            modules: &modules,
        };
        let sendable = actions(&making, waiting, self.sharing, |_, _| {});
        let received = |due: Due, received: Result<Received, Flaw>| self.received(&due, received, &ended);
        let (_, given_up) = take(client, &sendable, waiting, &is_over, &received);
        match given_up {
            Some(GivenUp::Failed(why)) => self.sharing.account().cache_off = Some(why),
            Some(GivenUp::Over) => {}
            None => self.sharing.fill(*access, client),
        }
        contents.save();
    }

    /// What is no object is as if it were not there.
    fn received(
        &self,
        due: &Due,
        received: Result<Received, Flaw>,
        ended: &(impl Fn(usize, Ended) + Sync),
    ) -> Option<Flaw> {
        let found = match received {
            Ok(received) => match place(&received, self.jobs.object(due.at)) {
                None => {
                    let said = said_here(self.jobs, self.sharing, due.at, &received.said);
                    let done = self.jobs.done(due.at, said, self.sharing.whose);
                    ended(due.at, done.map(|stderr| Ran { stderr, by: By::Cache }));
                    return None;
                }
                Some(found) => {
                    self.jobs.discard(due.at);
                    Flaw::Object(found)
                }
            },
            Err(flaw) => flaw,
        };
        tracing::info!(
            module = self.jobs.shown(due.at),
            "not taken from the remote cache: {found}"
        );
        Some(found)
    }
}

/// What a backend has said elsewhere, as it would have here.
pub(super) fn said_here(jobs: &dyn Jobs, sharing: &Sharing, at: usize, said: &str) -> String {
    let action = sharing.actions.get(at).and_then(|action| action.get());
    action.map_or_else(|| said.to_owned(), |action| action.said_here(said, at, jobs))
}

fn why_not(ready: &Ready) -> Option<String> {
    match (&ready.cache, &ready.compiler) {
        (Some((_, Err(error))), _) => Some(error.to_string()),
        (_, Err(error)) => Some(error.to_string()),
        _ => None,
    }
}
