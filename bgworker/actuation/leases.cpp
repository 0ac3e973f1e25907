// Leases over the network and in dbnet.arming (see leases.hpp). Mirror worker.
#include "bgworker/actuation/leases.hpp"

#include "bgworker/actuation/actuator.hpp"
#include "kubernetes/error.hpp"
#include "kubernetes/instant.hpp"
#include "mirror/decision/own_history.hpp"
#include "mirror/decision/stamp.hpp"
#include "mirror/store/instance.hpp"
#include "pg/compat.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

#include <algorithm>
#include <chrono>

namespace dbnet::bgworker {

namespace {

using kubernetes::Outcome;

// Somebody claimed elsewhere after we did, or after what we know of: only a new claim may go before that.
const pg::Statement raise_term{"UPDATE dbnet.arming SET term = $1, claimed_by = NULL WHERE term < $1"};

// One for all that run this database: the same in clones, another for each foreign server, whatever cluster it leads
// to.
std::string lease_name(const std::string &server) {
    uint32_t hash = 2166136261u; // FNV-1a: names of servers hold what names of objects must not
    for (const char c : server)
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    return "dbnet-" + std::to_string(GetSystemIdentifier()) + "-" + std::to_string(MyDatabaseId) + "-" +
           std::to_string(hash);
}

int64_t duration_ms() {
    return settings::lease_duration * int64_t{1000};
}

kubernetes::LeaseRenewal renewal_of(const std::string &server, const LeaseKeeper &keeper, int64_t term) {
    const auto now =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch());
    kubernetes::LeaseRenewal renewal;
    renewal.holder = mirror::instance_identity();
    renewal.duration_s = settings::lease_duration;
    renewal.position = mirror::format(
        {GetSystemIdentifier(), GetWALInsertionTimeLine(), GetFlushRecPtr(nullptr), 0}); // neither call raises
    renewal.term = std::max(term, keeper.lease() ? keeper.lease()->term : 0);
    renewal.server = server;
    renewal.now = kubernetes::format_instant(now.count(), true);
    return renewal;
}

constexpr int64_t note_retry_ms = 1000;
const std::string no_lease = "there is no lease to keep another server of this database from writing as well: ";

// An older copy writes to its own log and gets past the position at which another one was seen to go on: once an older
// copy, it stays one until somebody claims it.
const pg::Statement note_older_copy{"UPDATE dbnet.arming SET older_than = $1 WHERE older_than IS NULL AND term = $2"};

// Why this database may not know all that the Lease's last holder has sent to devices; empty: it does.
std::string doubt_about(const kubernetes::Lease &lease) {
    if (lease.position.empty())
        return {};
    if (!mirror::is_own_stamp(lease.position))
        return "had written up to " + lease.position + ", which is not in the log of this one";
    if (mirror::is_cut_after(lease.position))
        return "had written up to " + lease.position +
               " at least, and this one was restored to a point in time after that, without what may have followed";
    return {};
}

} // namespace

Leases::~Leases() {
    for (const auto &[name, server] : servers_)
        transport_.cancel(server.request);
}

LeaseKeeper::Self Leases::self() const {
    const std::string &identity = mirror::instance_identity();
    return {identity, catalog_->term, catalog_->claimed_by == identity, catalog_->older_than};
}

void Leases::configure(std::shared_ptr<const mirror::Catalog> catalog) {
    catalog_ = std::move(catalog);
    std::map<std::string, std::vector<const mirror::Mirror *>> writers; // of each server: mirrors that may write
    if (catalog_->armed && settings::actuate)
        for (const auto &[relation, mirror] : catalog_->mirrors)
            if (mirror.settings.manage && mirror.connection && mirror.paused_reason.empty() &&
                !mirror.lease_namespace.empty())
                writers[mirror.server].push_back(&mirror);
    std::erase_if(servers_, [&](const auto &known) {
        const auto writer = writers.find(known.first);
        const bool is_over = writer == writers.end() ||
                             writer->second.front()->lease_namespace != known.second.name_space ||
                             writer->second.front()->connection->api_url != known.second.connections.front()->api_url;
        if (is_over)
            transport_.cancel(known.second.request);
        return is_over;
    });
    for (const auto &[name, mirrors] : writers) {
        const auto [known, is_new] = servers_.try_emplace(
            name, Server{LeaseKeeper(self(), duration_ms()), {}, 0, 0, mirrors.front()->lease_namespace, 0, false, {}});
        std::vector<std::shared_ptr<const kubernetes::Connection>> connections;
        for (const mirror::Mirror *mirror : mirrors)
            if (std::ranges::none_of(connections, [&](const auto &other) { return *other == *mirror->connection; }))
                connections.push_back(mirror->connection);
        if (!std::ranges::equal(connections, known->second.connections,
                                [](const auto &one, const auto &other) { return *one == *other; }))
            known->second.asks = known->second.refusals = 0;
        known->second.connections = std::move(connections);
        known->second.keeper.configure(self(), duration_ms(), monotonic_ms());
    }
}

void Leases::turn() {
    int64_t newer_term = 0;
    std::string older_than; // position of a holder
    for (auto &[name, server] : servers_) {
        newer_term = std::max(newer_term, server.keeper.newer_term());
        const LeaseKeeper::Action action = server.keeper.next(monotonic_ms());
        if (action != LeaseKeeper::Action::none)
            ask(name, server, action);
        if (server.keeper.is_older_copy() && catalog_->older_than.empty())
            older_than = server.keeper.lease()->position;
        const bool is_open = server.keeper.closed_reason(monotonic_ms()).empty();
        if (is_open && !std::exchange(server.was_open, is_open))
            client_.lease_acquired(name);
        server.was_open = is_open;
        tell(name, server);
    }
    if ((newer_term > catalog_->term || !older_than.empty()) && monotonic_ms() >= next_note_ms_)
        note(newer_term, older_than);
}

// A claim that is not committed yet holds the row: later.
void Leases::note(int64_t newer_term, const std::string &older_than) {
    try {
        pg::in_transaction([&] {
            pg::execute(raise_term, newer_term);
            if (!older_than.empty())
                pg::execute(note_older_copy, older_than, catalog_->term);
        });
    } catch (const pg::pg_error &error) {
        next_note_ms_ = monotonic_ms() + note_retry_ms;
        client_.note_error("what the lease tells could not be noted: " + error.message());
    }
}

// A change of who writes is worth a line in the log.
void Leases::tell(const std::string &name, Server &server) {
    const std::string &text = !server.keeper.rival().empty() ? server.keeper.rival() : server.keeper.unavailable();
    if (text == server.told)
        return;
    const bool is_news = server.told.empty() || text.empty();
    server.told = text;
    if (!text.empty() && is_news)
        client_.note_error("server " + name + ": " + text);
}

int Leases::timeout_ms() const {
    int64_t due = INT64_MAX;
    for (const auto &[name, server] : servers_)
        due = std::min(due, server.keeper.due_ms());
    return due == INT64_MAX ? -1 : static_cast<int>(std::clamp<int64_t>(due - monotonic_ms(), 0, 60'000));
}

std::string Leases::closed_reason(const std::string &server) const {
    const auto found = servers_.find(server);
    return found == servers_.end() ? std::string() : found->second.keeper.closed_reason(monotonic_ms());
}

bool Leases::is_awaited(const std::string &server) const {
    const auto found = servers_.find(server);
    return found != servers_.end() && found->second.keeper.is_awaited(monotonic_ms());
}

std::string Leases::rival(const std::string &server) const {
    const auto found = servers_.find(server);
    return found == servers_.end() ? std::string() : found->second.keeper.rival();
}

void Leases::ask(const std::string &name, Server &server, LeaseKeeper::Action action) {
    const std::string lease = lease_name(name);
    kubernetes::Request request;
    if (action == LeaseKeeper::Action::read)
        request = kubernetes::read_lease_request(server.name_space, lease);
    else if (action == LeaseKeeper::Action::create)
        request =
            kubernetes::create_lease_request(server.name_space, lease, renewal_of(name, server.keeper, catalog_->term));
    else
        request =
            kubernetes::renew_lease_request(*server.keeper.lease(), renewal_of(name, server.keeper, catalog_->term));
    server.request = transport_.send(
        *server.connections[server.asks], std::move(request),
        [this, name, action](kubernetes::Response &&response) { take_answer(name, action, std::move(response)); });
}

// Another owner's credentials may do better.
void Leases::take_refusal(Server &server, const std::string &message, int64_t now_ms) {
    server.asks = (server.asks + 1) % server.connections.size();
    if (++server.refusals < server.connections.size())
        return server.keeper.on_overtaken(now_ms);
    server.refusals = 0;
    server.keeper.on_unavailable(no_lease + message, false, now_ms);
}

void Leases::take_answer(const std::string &name, LeaseKeeper::Action action, kubernetes::Response &&response) {
    Server &server = servers_.at(name); // one that is given up has its request cancelled
    LeaseKeeper &keeper = server.keeper;
    const int64_t now_ms = monotonic_ms();
    const Outcome outcome = kubernetes::classify(response, kubernetes::lease_resource().plural);
    switch (outcome.kind) {
    case Outcome::ok:
        try {
            kubernetes::Lease lease = kubernetes::parse_lease(response.body);
            const std::string doubt = action == LeaseKeeper::Action::read ? doubt_about(lease) : std::string();
            if (action == LeaseKeeper::Action::read) {
                keeper.on_read(std::move(lease), doubt, now_ms);
            } else {
                server.refusals = 0;
                keeper.on_written(std::move(lease), now_ms);
            }
        } catch (const std::exception &failure) {
            keeper.on_failure(failure.what(), now_ms);
        }
        return;
    case Outcome::not_found:
        return keeper.on_absent(now_ms);
    case Outcome::already_exists:
    case Outcome::stale:
        return keeper.on_overtaken(now_ms);
    case Outcome::kind_missing:
        return keeper.on_unavailable(no_lease + outcome.message, true, now_ms);
    case Outcome::denied:
        return take_refusal(server, outcome.message, now_ms);
    default:
        return keeper.on_failure(outcome.message, now_ms);
    }
}

} // namespace dbnet::bgworker
