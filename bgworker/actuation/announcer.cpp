// Sends Events (see announcer.hpp). Mirror worker.
#include "bgworker/actuation/announcer.hpp"

#include "bgworker/actuation/actuator.hpp"
#include "kubernetes/error.hpp"
#include "mirror/store/instance.hpp"
#include "pg/spi.hpp"

#include <algorithm>
#include <chrono>

namespace dbnet::bgworker {

namespace {

constexpr size_t most_waiting = 1000;  // of one server
constexpr size_t most_in_flight = 4;   // likewise: few, beside the requests that matter
constexpr size_t most_closed = 1000;   // namespaces; of more than these each Event costs a request that is refused
constexpr int64_t closed_ms = 600'000; // how long a namespace is left alone that refuses them

const pg::Statement select_names{
    "SELECT pg_catalog.current_database(), (SELECT rolname FROM pg_catalog.pg_roles WHERE oid = $1)"};

int64_t wall_clock_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// One object, whichever of its mirrors tells of it.
std::string object_name(const mirror::Mirror &mirror, const mirror::Key &key) {
    return mirror.server + '\n' + mirror.resource.group + '/' + mirror.resource.kind + '\n' + key.text();
}

} // namespace

void Announcer::configure(std::shared_ptr<const mirror::Catalog> catalog) {
    catalog_ = std::move(catalog);
    roles_.clear(); // they may be renamed
    const auto is_known = [&](const std::string &server) {
        return std::ranges::any_of(catalog_->mirrors, [&](const auto &known) {
            return known.second.server == server && known.second.writes_events;
        });
    };
    std::erase_if(servers_, [&](const auto &known) { return !is_known(known.first); });
    std::erase_if(told_, [&](const std::string &server) { return !is_known(server); });
    closed_.clear(); // other credentials may do better
}

void Announcer::note(Announcement &&announcement) {
    const mirror::Mirror *mirror = catalog_->find(announcement.key.relation);
    if (!mirror)
        return;
    Server &server = servers_[mirror->server];
    if (server.waiting.size() >= most_waiting)
        return count(pg::EventResult::dropped);
    announcement.what = kubernetes::object_event_note(std::move(announcement.what)); // not more than can be told
    announcement.at_us = last_us_ = std::max(wall_clock_us(), last_us_ + 1);
    server.waiting.push_back(std::move(announcement));
}

void Announcer::turn() {
    if (std::ranges::all_of(servers_, [](const auto &server) { return server.second.waiting.empty(); }) ||
        !name_roles())
        return;
    for (auto &[name, server] : servers_) {
        while (!server.waiting.empty() && server.in_flight < most_in_flight) {
            const Announcement announcement = std::move(server.waiting.front());
            server.waiting.pop_front();
            const mirror::Mirror *mirror = catalog_->find(announcement.key.relation);
            if (mirror && may_send_(*mirror))
                announce(announcement, *mirror, server);
            else
                count(pg::EventResult::dropped);
        }
    }
}

// Of all that wait. False: not now.
bool Announcer::name_roles() {
    std::set<uint32_t> unknown;
    for (const auto &[name, server] : servers_)
        for (const Announcement &announcement : server.waiting)
            if (!roles_.contains(announcement.role))
                unknown.insert(announcement.role);
    if (unknown.empty())
        return true;
    try {
        pg::in_transaction([&] {
            for (const uint32_t role : unknown) {
                const pg::Result names = pg::execute(select_names, Oid{role});
                database_ = names.text(0, 0);
                roles_[role] = names.text(0, 1);
            }
        });
    } catch (const pg::pg_error &) {
        return false; // DDL that locks; the next turn is soon
    }
    return true;
}

std::string Announcer::note_text(const Announcement &announcement, const mirror::Mirror &mirror) const {
    std::string who = "database " + database_;
    if (announcement.transaction > 0)
        who = "transaction " + std::to_string(announcement.transaction) + " of " + who;
    if (const std::string &role = roles_.at(announcement.role); !role.empty())
        who = role + ", " + who;
    // Whoever may read Events may not read Secrets, of which the server's words may repeat something.
    return who + ": " +
           (announcement.is_warning && mirror.holds_secrets ? "see dbnet.object_status" : announcement.what);
}

void Announcer::announce(const Announcement &announcement, const mirror::Mirror &mirror, Server &server) {
    kubernetes::ObjectEvent event;
    event.resource = mirror.resource;
    event.name_space = announcement.key.name_space;
    event.name = announcement.key.name;
    event.uid = announcement.uid;
    event.is_warning = announcement.is_warning;
    event.reason = announcement.reason;
    event.action = announcement.action;
    event.note = note_text(announcement, mirror);
    event.instance = mirror::instance_identity();
    event.at_us = announcement.at_us;
    const int64_t now_ms = monotonic_ms();
    const auto closed = closed_.find({mirror.server, kubernetes::object_event_namespace(event)});
    if (closed != closed_.end() && now_ms < closed->second)
        return count(pg::EventResult::dropped);
    const std::string object = object_name(mirror, announcement.key);
    // Another object of the name has Events of its own.
    const EventSeries::Telling telling =
        series_.happens(object, event.reason, event.uid + event.note, event.at_us, now_ms);
    if (telling.what == EventSeries::Telling::What::too_much)
        count(pg::EventResult::dropped);
    else if (telling.what != EventSeries::Telling::What::later)
        send(mirror, server, object, std::move(event), telling);
}

void Announcer::send(const mirror::Mirror &mirror, Server &server, const std::string &object,
                     kubernetes::ObjectEvent &&event, const EventSeries::Telling &telling) {
    using What = EventSeries::Telling::What;
    event.at_us = telling.event;
    if (telling.is_combined)
        event.note.insert(0, "(combined from similar events) ");
    kubernetes::Request request;
    try {
        request = telling.what == What::begin
                      ? kubernetes::create_object_event_request(event)
                      : kubernetes::object_event_series_request(event, telling.count, telling.last_us);
    } catch (const std::exception &) { // no text of the API's
        series_.lost(object, telling.event);
        return count(pg::EventResult::failed);
    }
    server.in_flight++;
    transport_.send(*mirror.connection, std::move(request),
                    [this, relation = mirror.relation, name = mirror.server, object,
                     event](kubernetes::Response &&response) mutable {
                        if (const auto found = servers_.find(name); found != servers_.end() && found->second.in_flight)
                            found->second.in_flight--;
                        take_answer(relation, object, std::move(event), response);
                    });
}

void Announcer::take_answer(uint32_t relation, const std::string &object, kubernetes::ObjectEvent &&event,
                            const kubernetes::Response &response) {
    const kubernetes::Outcome outcome = kubernetes::classify(response, kubernetes::object_event_resource().plural);
    const bool is_written = outcome || outcome.kind == kubernetes::Outcome::already_exists; // by a first try
    const int64_t now_ms = monotonic_ms();
    count(is_written ? pg::EventResult::written : pg::EventResult::failed);
    const auto more = is_written ? series_.written(object, event.at_us, now_ms) : std::nullopt;
    if (!is_written)
        series_.lost(object, event.at_us);
    const mirror::Mirror *mirror = catalog_->find(relation);
    if (!mirror)
        return;
    if (outcome)
        told_.erase(mirror->server);
    else if (outcome.kind == kubernetes::Outcome::denied || outcome.kind == kubernetes::Outcome::kind_missing)
        close(*mirror, kubernetes::object_event_namespace(event),
              outcome.message + (outcome.kind == kubernetes::Outcome::denied
                                     ? ". dbnet.rbac() prints the rule that is missing"
                                     : ". It does not serve events.k8s.io: take option events back"));
    if (more && mirror->writes_events && may_send_(*mirror))
        send(*mirror, servers_[mirror->server], object, std::move(event), *more);
}

void Announcer::close(const mirror::Mirror &mirror, const std::string &name_space, const std::string &message) {
    const int64_t now_ms = monotonic_ms();
    std::erase_if(closed_, [&](const auto &place) { return place.second <= now_ms; });
    if (closed_.size() < most_closed)
        closed_[{mirror.server, name_space}] = now_ms + closed_ms;
    if (told_.insert(mirror.server).second)
        note_error_("server " + mirror.server + " takes no Events: " + message);
}

} // namespace dbnet::bgworker
