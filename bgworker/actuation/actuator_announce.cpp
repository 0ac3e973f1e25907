// What is told of an object in an Event (see actuator.hpp). Mirror worker.
#include "bgworker/actuation/actuator.hpp"

namespace dbnet::bgworker {

using mirror::Action;
using mirror::Phase;

namespace {

// What has changed of the fields that a request carries; all of them go with each.
std::string list_of(const mirror::Fields &sent, const std::vector<std::string> &changed) {
    std::string paths;
    for (const std::string &path : changed)
        if (sent.contains(path))
            paths += (paths.empty() ? "" : ", ") + path;
    return paths.empty() ? "no value" : paths;
}

Announcement announcement_of(const mirror::ObjectWrite &write, const Cause &cause, const std::string &uid) {
    Announcement told;
    told.key = write.key;
    told.uid = uid;
    told.what = write.message;
    told.transaction = cause.transaction;
    told.role = cause.role;
    return told;
}

Announcement warning_of(const mirror::ObjectWrite &write, const Cause &cause, const std::string &uid) {
    Announcement told = announcement_of(write, cause, uid);
    told.is_warning = true;
    told.reason = "Refused";
    return told;
}

} // namespace

bool Actuator::is_announced(const mirror::Key &key) const {
    const mirror::Mirror *mirror = catalog_->find(key.relation);
    return mirror && mirror->writes_events;
}

// A call that the server has taken.
std::optional<Announcement> Actuator::announce_done(const Plan &plan, const mirror::ObjectWrite &write) const {
    const bool remove = plan.decision.action == Action::remove;
    if (!is_announced(write.key) || !(remove || write.accepted) || write.phase == Phase::uncertain)
        return std::nullopt;
    Announcement told = announcement_of(write, plan.cause, write.seen ? write.seen->uid : plan.decision.uid);
    if (remove) {
        told.reason = "Deleted";
        told.action = "Delete";
        told.what = plan.replaces           ? "the object is made anew"
                    : write.message.empty() ? "the row was deleted"
                                            : "the row was deleted; " + write.message;
        return told;
    }
    told.what = list_of(plan.part.fields, plan.decision.changed);
    if (!plan.rival.empty()) {
        told.reason = "DriftCorrected";
        told.what += ", which " + plan.rival + " had changed";
        return told;
    }
    told.reason = write.created ? "Created" : "Applied";
    if (plan.forced)
        told.what += ", taken from other managers";
    return told;
}

// One that it will not take, or that cannot be made.
std::optional<Announcement> Actuator::announce_refused(const Plan &plan, const mirror::ObjectWrite &write) const {
    if (!is_announced(write.key))
        return std::nullopt;
    Announcement told = warning_of(write, plan.cause, plan.decision.uid);
    if (plan.decision.action == Action::remove && !plan.replaces)
        told.action = "Delete";
    return told;
}

// What is not sent, once: not again when an event lets the object be decided anew.
std::optional<Announcement> Actuator::announce_decided(const Entry &entry,
                                                       const std::optional<mirror::ObjectRecord> &before,
                                                       const mirror::ObjectWrite &write, bool remove) const {
    const bool is_news = !before || before->phase != write.phase || entry.untold_lsn > no_commit;
    if (!is_news || !is_announced(write.key))
        return std::nullopt;
    Announcement told = warning_of(write, entry.cause, before ? before->uid : std::string());
    if (remove)
        told.action = "Delete";
    switch (write.phase) {
    case Phase::conflict:
    case Phase::denied:
    case Phase::invalid:
    case Phase::stale:
        return told;
    case Phase::held:
        told.reason = "Held";
        return told;
    case Phase::fighting:
        told.reason = "Fighting";
        return told;
    default:
        return std::nullopt;
    }
}

} // namespace dbnet::bgworker
