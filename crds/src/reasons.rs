//! Why something is as it is: one closed set for conditions, events, metrics, results and documents.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a reason is about, and so who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Nothing is wrong.
    Fine,
    /// The manifest is wrong, or a person must decide: `Stalled=True`.
    Manifest,
    /// Something outside of the manifest is wrong: `Ready=False`, and tried again.
    World,
    /// How a run ended, or what it left.
    Run,
}

/// A text that is no [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownReason;

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not one of the documented reasons")
    }
}

impl std::error::Error for UnknownReason {}

macro_rules! reasons {
    ($($name:ident $scope:ident $meaning:literal $cure:literal)+) => {
        /// Why something is as it is. The name of a variant is what is written.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $(#[doc = $meaning] $name,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The reason as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// What it is about.
            #[must_use]
            pub const fn scope(self) -> Scope {
                match self { $(Self::$name => Scope::$scope),+ }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),+ }
            }

            /// What to do about it, in a sentence.
            #[must_use]
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$name => $cure),+ }
            }
        }

        impl FromStr for Reason {
            type Err = UnknownReason;

            fn from_str(text: &str) -> Result<Self, UnknownReason> {
                match text { $(stringify!($name) => Ok(Self::$name),)+ _ => Err(UnknownReason) }
            }
        }
    };
}

impl Reason {
    /// Whether it is said as `Stalled=True`: only a person can mend it.
    #[must_use]
    pub fn stalls(self) -> bool {
        self.scope() == Scope::Manifest
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

reasons! {
    Succeeded Fine "It succeeded." "Nothing to do."
    Accepted Fine "The manifest is accepted, and everything that it refers to was found." "Nothing to do."
    CheckSucceeded Fine "The check of this object succeeded." "Nothing to do."
    CheckInProgress Fine "A check of this object is running." "Wait for it to end."
    Suspended Fine "suspend is true here, or on an object that this one needs." "Set suspend to false to go on."
    NoRunYet Fine "No run has ended yet." "Wait for the next slot, or create a Sync."
    Queued Fine "The run waits for its turn at the Source or the Destination." "Wait, or raise maxConcurrentSyncs of what status.queuedBehind names."
    Running Fine "The run is on." "Wait for it to end."
    Canceling Fine "The run was asked to stop and ends its last batch." "Wait for it to end."
    AllDelivered Fine "No record is rejected." "Nothing to do."

    InvalidSpec Manifest "The manifest says something that cannot be." "Mend what status.errors lists."
    NotSupported Manifest "This version of Backflow does not support a field or value that the manifest uses." "Take it out, or install a version that supports it."
    LocalOnly Manifest "This kind of Source works without a cluster only." "Use a warehouse that the cluster can reach, or the command line."
    PlanTooLarge Manifest "The Mapping with its Model is too large for one run." "Shorten what the message names."
    InvalidSchedule Manifest "The schedule cannot be read, or has no slot." "Mend the expression that the message names."
    UnknownTimeZone Manifest "There is no time zone of this name." "Use a name of the IANA database, like Europe/Berlin."
    ScheduleCycle Manifest "Mappings that run after each other form a circle." "Give one of them another schedule."
    ReservedName Manifest "A built-in definition has this name, and a name never means two things." "Give the DestinationDefinition another name."
    UnknownAuth Manifest "The definition does not authenticate in this way." "Use one of the ways that the message names."
    UnknownAction Manifest "The definition has no such action." "Use one of the actions that the message names."
    UnknownSetting Manifest "The definition has no such setting." "Take it out, or use one of those that the message names."
    InvalidSetting Manifest "A setting does not have the form that the definition asks for." "Write it as the message says."
    MissingSetting Manifest "A setting or secret that the definition needs is missing." "Add what the message names."
    UnsupportedSyncMode Manifest "The action does not support this sync mode, or has none." "Use one of the modes that the message names."
    UnsupportedRecords Manifest "The action does not take these kinds of change." "Use those that the message names."
    UnknownSecret Manifest "The definition has no such secret." "Use one of those that the message names."
    UnusedSecret Manifest "A secret is given that the chosen way to authenticate does not use." "Take it out, or choose another auth."
    SecretInSettings Manifest "A secret stands in settings, in plain text." "Change it at its owner, put it into a Secret, and refer to that under secrets."
    EmptyMapping Manifest "The Mapping sends no field." "Map one, or include columns."
    EmptyInclude Manifest "include leaves no column." "Add columns, or take out except."
    InvalidPath Manifest "The name of a field is no dotted path." "Write it as the message says."
    ConflictingFields Manifest "Two fields write to one place." "Leave one of them."
    UnknownField Manifest "The action has no such field." "Use one of the fields that the message names."
    RequiredFieldMissing Manifest "A field that the action needs is not mapped." "Map the field that the message names."
    InvalidField Manifest "A field does not say exactly one of column, value, template, cel, object, items, or says something that means nothing beside it." "Mend it as the message says."
    InvalidTemplate Manifest "A template does not parse, or uses what is not there." "Mend it at the place that the message names."
    InvalidExpression Manifest "A CEL expression does not parse, or uses what is not there." "Mend it at the place that the message names."
    InvalidQuantity Manifest "An amount or a duration cannot be read, or is out of range." "Write it as the message says."
    DuplicateStateKey Manifest "Another Mapping has the same stateKey." "Give one of them another stateKey."
    MoreFindings Manifest "There are more findings than a status holds." "Mend the listed ones first."
    SqlError Manifest "The warehouse refuses the Model's SQL." "Run the query by hand, and mend it."
    MultipleStatements Manifest "The Model's SQL holds more than one statement, or a semicolon." "Leave one SELECT without a semicolon."
    DuplicateColumn Manifest "Two columns of the Model have one name." "Give one of them an alias."
    LimitExceeded Manifest "A limit of a run is exceeded: columns, bytes of a record, bytes of a key." "Select less, as the message says."
    MappingInvalid Manifest "The Mapping's fields cannot be compiled." "Mend what status.errors lists."
    IdentityChanged Manifest "The Mapping points at another account, action or database than its state does." "Point it back, or create a Sync of mode Reset, or one with adoptState."
    DiffChanged Manifest "The state was made by the other way to find changes (Source.spec.diff), and neither can read the other's hashes." "Set diff back, or create a Sync of mode Reset."
    PrimaryKeyChanged Manifest "The Model's primary key is not the one of the state." "Change it back, or create a Sync of mode Reset."
    StateOwnedElsewhere Manifest "The state belongs to another cluster." "Stop the other cluster's Mapping, then create a Sync with adoptState."
    StateTooNew Manifest "The state was written by a newer version of Backflow." "Install that version, or a newer one."
    StateDamaged Manifest "A part of the state is missing or was changed by others." "Restore it from a backup, or create a Sync of mode Reset."
    ConfirmRequired Manifest "Mode Reset of a Mapping with sync mode Mirror forgets what must be deleted." "Create the Sync again with confirm: true."
    AddressForbidden Manifest "The Destination's address is not one that workers may call." "Use a public address, or allow this one in the operator's settings."
    PlanInvalid Manifest "The worker cannot read its plan." "Use the same version of controller and worker."

    SourceNotFound World "There is no Source of this name in the namespace." "Create it, or mend the reference."
    SourceNotReady World "The Source is not Ready." "See its conditions."
    ModelNotFound World "There is no Model of this name in the namespace." "Create it, or mend the reference."
    ModelNotReady World "The Model is not Ready." "See its conditions."
    UnknownDestinationType World "There is no definition of this name, neither built in nor as a DestinationDefinition." "Use one of the definitions that the message names, or apply a DestinationDefinition of this name."
    DefinitionNotReady World "The DestinationDefinition that the Destination names is not Ready." "See its conditions and status.errors."
    DestinationNotFound World "There is no Destination of this name in the namespace." "Create it, or mend the reference."
    DestinationNotReady World "The Destination is not Ready." "See its conditions."
    MappingNotFound World "There is no Mapping of this name in the namespace." "Create it, or mend the reference."
    MappingNotReady World "The Mapping is not Ready." "See its conditions."
    SyncNotFound World "There is no Sync of this name in the namespace." "Name one that still exists."
    SecretNotFound World "There is no Secret of this name in the namespace." "Create it, or mend the reference."
    SecretKeyNotFound World "The Secret has no such key." "Add the key, or mend the reference."
    HostNotFound World "The host's name cannot be resolved." "Mend host, or the cluster's DNS."
    ConnectionFailed World "Nothing answers at this host and port." "Mend host and port, or let the worker's pods through the firewall."
    TlsFailed World "TLS is refused, or the certificate does not prove the host." "Give the right ca (of a host that is called by HTTPS: worker.caBundle), or the tls.mode that the server supports."
    AuthenticationFailed World "User or credentials are refused." "Mend user, or the Secret."
    DatabaseNotFound World "The server has no such database." "Mend database."
    PermissionDenied World "The user lacks a permission." "Grant what the message names."
    StateSchemaMissing World "The state schema does not exist, and the user may not create it." "Create it, and grant its use to the user."
    StateStoreMissing World "The bucket, container or folder of the state store does not exist." "Create it, or mend state.store."
    StateStoreUnfit World "The state store does not do what the state needs, such as conditional writes." "Use a store that does."
    StateStoreUnavailable World "The state store takes no more requests, is full, or does not answer." "Wait: it is tried again; or make room."
    TableNotFound World "A table of the Model does not exist, or the user does not see it." "Create it, grant its use, or mend the Model."
    ColumnNotFound World "A column of the Model does not exist." "Add it, or mend the Model."
    UnknownColumn World "A field names a column that the Model does not have." "Use one of the columns that the message names, or add it to the Model."
    PrimaryKeyMissing World "A primary key column is not a column of the Model." "Select it, or mend primaryKey."
    WarehouseUnavailable World "The warehouse canceled the statement, or restarts." "Wait: it is tried again."
    DestinationUnreachable World "The Destination's host cannot be resolved, or does not answer." "Mend its address, or let the worker's pods through the firewall."
    DestinationUnauthorized World "The Destination refuses the credentials." "Mend the Secret."
    DestinationMisconfigured World "The Destination does not know the object or path, or answers in another language than its definition." "Mend settings and config."
    CheckFailed World "The check failed." "See the message; it is tried again."
    ImagePullFailed World "The worker's image cannot be pulled." "Mend the image's name, or imagePullSecrets."
    PodUnschedulable World "No node takes the worker's pod." "Lower worker.resources, mend nodeSelector and tolerations, or add a node."
    PodRefused World "The cluster refuses the worker's pod or Job." "See the message: a quota or a policy stands in the way."
    NameCollision World "An object of this name exists, and is not ours." "Rename or delete it."

    PartiallySucceeded Run "The run ended, but some records were not delivered." "See status.errors; what may be tried again is in the next run."
    RowsRejected Run "The Destination refuses records for their content." "Mend the rows or the Mapping; a Sync with retryRejected sends them again unchanged."
    DeletesWithheld Run "More rows are gone than deletes allows, so no deletion was sent." "If they are meant to be gone, create a Sync with approveDeletes."
    DeletesRefused Run "More rows are gone than deletes allows, and its action is Fail." "If they are meant to be gone, create a Sync with approveDeletes."
    MassRejection Run "More than half of the first records were rejected, so the run stopped." "Mend the Mapping; see status.errors."
    RetriesExhausted Run "The Destination refused records for as long as retry allows." "Wait: the next run sends them again."
    Throttled Run "The Destination asked to be left alone for longer than retry allows." "Wait: the next run sends the rest."
    ScratchFull Run "The changes do not fit on the scratch disk; what was read was delivered." "Wait: the next run goes on. Raise worker.scratch if it happens again."
    DeadlineExceeded Run "The run reached its deadline; what was acknowledged is kept." "Wait: the next run goes on. Raise runs.deadline if it happens again."
    OutOfMemory Run "The worker used more memory than it may." "Raise worker.resources."
    PodFailed Run "The worker's pod failed as often as runs.backoffLimit allows." "See the pod's log; the next run goes on."
    Terminated Run "The pod was asked to stop; what was acknowledged is kept." "Wait: the next run goes on."
    JobDeleted Run "The run's Job was deleted." "Wait: the next run repeats it."
    ResultLost Run "The run ended, but its result could not be read." "Wait: the next run finds out what was delivered."
    Canceled Run "A person stopped the run; what was acknowledged is kept." "Create a Sync to go on."
    StateNotFound Run "There is no state of this name." "Mend forget.stateKey and forget.sourceRef."
    RowNotFound Run "No row of the Model has this key." "Name a key that the Model has."
    RunNotFound Run "The state does not remember the run that replay.syncRef names." "Name a run of this Mapping that the state still has (the last 1,000), or use replay.keys."
    Fenced Run "A newer run of the Mapping has taken over." "Nothing to do."
    LedgerMismatch Run "The run's counters do not add up; nothing more was committed." "Wait for the next run; report it if it happens again."
    Internal Run "An error of Backflow itself." "Report it, with the log."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_reads_back() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
            assert_eq!(serde_json::from_str::<Reason>(&serde_json::to_string(reason).unwrap()).unwrap(), *reason);
        }
        assert_eq!("succeeded".parse::<Reason>(), Err(UnknownReason));
    }

    #[test]
    fn every_reason_fits_a_condition_and_says_a_sentence() {
        for reason in Reason::ALL {
            let name = reason.as_str();
            assert!(
                name.len() <= 63 && name.chars().all(char::is_alphanumeric) && name.starts_with(char::is_uppercase)
            );
            for sentence in [reason.meaning(), reason.cure()] {
                assert!(sentence.ends_with('.') && sentence.len() < 160, "{name}: {sentence}");
            }
        }
    }
}
