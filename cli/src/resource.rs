//! What all resources have in common: they are found by name, listed, shown, changed and deleted in one way.

use crate::{
    args::{Care, Extra, Listing, Removal, Target, Wait},
    client::{self, Answer, Client, Query},
    error::Error,
    output::{Column, Output},
    request::Body,
    work_request,
};
use reqwest::Method;
use serde_json::Value;
use std::io::{BufRead, IsTerminal, Write};

/// Where resources of a kind are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In the compartment to work in.
    Compartment,
    /// In the tenancy, whatever the compartment.
    Tenancy,
}

/// A kind of resources.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What people call one: `user`.
    pub(crate) noun: &'static str,
    /// The words before the verbs: `hako iam user`.
    pub(crate) command: &'static str,
    /// Path of the collection.
    pub(crate) path: &'static str,
    /// The field and the parameter that are its name.
    pub(crate) name: &'static str,
    pub(crate) scope: Scope,
    pub(crate) columns: &'static [Column],
    /// What a deletion says of what goes along.
    pub(crate) goes: &'static str,
}

impl Kind {
    /// OCID of the compartment of such resources.
    pub(crate) fn compartment<'a>(&self, client: &'a Client) -> Result<&'a str, Error> {
        match self.scope {
            Scope::Compartment => client.compartment(),
            Scope::Tenancy => client.tenancy(),
        }
    }

    /// Path of one of them.
    pub(crate) fn path_of(&self, id: &str) -> String {
        format!("{}/{id}", self.path)
    }

    /// Those that match, and are not deleted unless that is asked for.
    pub(crate) async fn find_all(
        &self,
        client: &Client,
        listing: &Listing,
        more: Query<'_>,
    ) -> Result<Vec<Value>, Error> {
        let mut query = vec![("compartmentId", self.compartment(client)?)];
        query.extend(listing.name.as_deref().map(|name| (self.name, name)));
        query.extend(listing.lifecycle_state.iter().map(|state| ("lifecycleState", state.as_str())));
        query.extend_from_slice(more);
        let mut found = client.list(self.path, &query).await?;
        if listing.lifecycle_state.is_empty() {
            found.retain(|one| one["lifecycleState"] != "DELETED");
        }
        Ok(found)
    }

    /// Prints those that match.
    pub(crate) async fn list(
        &self,
        client: &Client,
        out: Output,
        listing: &Listing,
        more: Query<'_>,
    ) -> Result<(), Error> {
        out.list(&self.find_all(client, listing, more).await?, self.columns)
    }

    /// The OCID of one that is given by its name or its OCID.
    pub(crate) async fn find(&self, client: &Client, target: &str) -> Result<String, Error> {
        self.find_with(client, target, &[]).await
    }

    /// The same, among those that also match `more`.
    pub(crate) async fn find_with(&self, client: &Client, target: &str, more: Query<'_>) -> Result<String, Error> {
        if target.is_empty() {
            let Self { noun, command, .. } = self;
            return Err(Error::Misused(format!("the {noun}'s name is empty; `{command} list` shows those there are")));
        }
        if target.starts_with("ocid1.") {
            return client::segment(self.noun, target).map(str::to_owned);
        }
        let listing = Listing { name: Some(target.to_owned()), ..Listing::default() };
        let mut found = self.find_all(client, &listing, more).await?;
        found.retain(|one| one[self.name] == target);
        self.pick(&found, target)
    }

    /// OCIDs of several.
    pub(crate) async fn find_each(&self, client: &Client, targets: &[String]) -> Result<Vec<String>, Error> {
        let mut ids = Vec::with_capacity(targets.len());
        for target in targets {
            ids.push(self.find(client, target).await?);
        }
        Ok(ids)
    }

    /// The OCID of one that may be given.
    pub(crate) async fn find_if(&self, client: &Client, target: Option<&str>) -> Result<Option<String>, Error> {
        match target {
            Some(target) => self.find(client, target).await.map(Some),
            None => Ok(None),
        }
    }

    /// The OCID of the only one.
    pub(crate) fn pick(&self, found: &[Value], name: &str) -> Result<String, Error> {
        let Self { noun, command, .. } = self;
        match found {
            [one] => Ok(one["id"].as_str().unwrap_or_default().to_owned()),
            [] => {
                Err(Error::Failed(format!("there is no {noun} named {name:?}; `{command} list` shows those there are")))
            }
            several => {
                let ids: Vec<&str> = several.iter().filter_map(|one| one["id"].as_str()).collect();
                Err(Error::Failed(format!(
                    "several {noun}s are named {name:?}; give the OCID of one: {}",
                    ids.join(", ")
                )))
            }
        }
    }

    /// Prints one.
    pub(crate) async fn get(&self, client: &Client, out: Output, target: &Target) -> Result<(), Error> {
        self.show(client, out, &self.find(client, &target.target).await?).await
    }

    /// Prints the one with this OCID.
    pub(crate) async fn show(&self, client: &Client, out: Output, id: &str) -> Result<(), Error> {
        out.one(&client.get(&self.path_of(id)).await?, self.columns)
    }

    /// Makes one.
    pub(crate) async fn create(
        &self,
        client: &Client,
        out: Output,
        (body, extra): (Body, &Extra),
        wait: Option<Wait>,
    ) -> Result<(), Error> {
        let body = body.with(extra)?.usual("compartmentId", self.compartment(client)?);
        let answer = client.change(&Method::POST, self.path, Some(&body.json())).await?;
        self.finish(client, out, answer, wait).await
    }

    /// Changes one.
    pub(crate) async fn update(
        &self,
        client: &Client,
        out: Output,
        id: &str,
        (body, extra): (Body, &Extra),
        wait: Option<Wait>,
    ) -> Result<(), Error> {
        let body = body.with(extra)?;
        if body.is_empty() {
            let command = self.command;
            return Err(Error::Misused(format!(
                "nothing to change: `{command} update --help` shows what can be given"
            )));
        }
        let answer = client.change(&Method::PUT, &self.path_of(id), Some(&body.json())).await?;
        self.finish(client, out, answer, wait).await
    }

    /// Does something to one.
    pub(crate) async fn act(
        &self,
        client: &Client,
        out: Output,
        (id, action): (&str, &str),
        body: Option<&Value>,
        wait: Wait,
    ) -> Result<(), Error> {
        let path = format!("{}/actions/{action}", self.path_of(id));
        let answer = client.change(&Method::POST, &path, body).await?;
        self.finish(client, out, answer, Some(wait)).await
    }

    /// Prints what a change led to: once it is done, if that is waited for, the resource.
    pub(crate) async fn finish(
        &self,
        client: &Client,
        out: Output,
        answer: Answer,
        wait: Option<Wait>,
    ) -> Result<(), Error> {
        match (answer.work_request, answer.body) {
            (Some(work), _) if wait.is_some_and(|wait| wait.wait) => {
                let id = work_request::wait(client, self.path, &work, wait).await?;
                self.show(client, out, &id).await
            }
            (Some(work), Some(body)) => {
                eprintln!("hako: it goes on: `hako work-request get {work}`");
                out.one(&body, self.columns)
            }
            (Some(work), None) => work_request::show(client, out, self.path, &work).await,
            (None, Some(body)) => out.one(&body, self.columns),
            (None, None) => Ok(()),
        }
    }

    /// Deletes one.
    pub(crate) async fn delete(
        &self,
        client: &Client,
        out: Output,
        removal: &Removal,
        wait: Option<Wait>,
    ) -> Result<(), Error> {
        let id = self.find(client, &removal.target.target).await?;
        self.delete_found(client, out, (&id, self.goes), removal.care, wait).await
    }

    /// Deletes the one with this OCID; `goes`: what is said of what goes along.
    pub(crate) async fn delete_found(
        &self,
        client: &Client,
        out: Output,
        (id, goes): (&str, &str),
        care: Care,
        wait: Option<Wait>,
    ) -> Result<(), Error> {
        let noun = self.noun;
        if care.dry_run {
            eprintln!("hako: nothing is deleted (--dry-run); without it this {noun} goes{goes}");
            return self.show(client, out, id).await;
        }
        confirm(care, &format!("delete the {noun} {id}{goes}?"))?;
        let answer = client.change(&Method::DELETE, &self.path_of(id), None).await?;
        match answer.work_request {
            Some(work) if wait.is_some_and(|wait| wait.wait) => {
                _ = work_request::wait(client, self.path, &work, wait).await?
            }
            Some(work) => return work_request::show(client, out, self.path, &work).await,
            None => {}
        }
        eprintln!("hako: {noun} {id} is deleted");
        Ok(())
    }
}

/// Asks whether something may be done, if somebody is there to answer.
pub(crate) fn confirm(care: Care, question: &str) -> Result<(), Error> {
    let (input, errors) = (std::io::stdin(), std::io::stderr());
    if care.yes || !input.is_terminal() || !errors.is_terminal() {
        return Ok(());
    }
    eprint!("hako: {question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    input.lock().read_line(&mut answer).map_err(Error::io("read the answer"))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::Failed("nothing was done".into())),
    }
}
