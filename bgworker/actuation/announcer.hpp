// Tells in Kubernetes Events what becomes of objects: that they are changed, that a row is refused or held, that drift
// is put back. Lives in the mirror worker's loop. Nothing waits for an Event and none is tried again; a namespace whose
// Events are refused is left alone for a while.
#pragma once

#include "bgworker/actuation/announcement.hpp"
#include "bgworker/actuation/event_series.hpp"
#include "kubernetes/object_event.hpp"
#include "kubernetes/transport/transport.hpp"
#include "mirror/store/catalog.hpp"
#include "pg/shared_counters.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

namespace dbnet::bgworker {

class Announcer {
public:
    // `may_send`: what changes a device may be sent for the mirror now.
    Announcer(kubernetes::Transport &transport, pg::SharedCounters &counters,
              std::function<bool(const mirror::Mirror &)> may_send, std::function<void(const std::string &)> note_error)
        : transport_(transport), counters_(counters), may_send_(std::move(may_send)),
          note_error_(std::move(note_error)) {}

    void configure(std::shared_ptr<const mirror::Catalog> catalog);

    void note(Announcement &&announcement);
    // Sends what was noted; outside any transaction.
    void turn();

private:
    struct Server {
        size_t in_flight = 0;
        std::deque<Announcement> waiting;
    };
    using Place = std::pair<std::string, std::string>; // server, namespace

    bool name_roles();
    std::string note_text(const Announcement &announcement, const mirror::Mirror &mirror) const;
    void announce(const Announcement &announcement, const mirror::Mirror &mirror, Server &server);
    void send(const mirror::Mirror &mirror, Server &server, const std::string &object, kubernetes::ObjectEvent &&event,
              const EventSeries::Telling &telling);
    void take_answer(uint32_t relation, const std::string &object, kubernetes::ObjectEvent &&event,
                     const kubernetes::Response &response);
    void close(const mirror::Mirror &mirror, const std::string &name_space, const std::string &message);
    void count(pg::EventResult result) { pg_atomic_fetch_add_u64(&counters_.events[static_cast<size_t>(result)], 1); }

    kubernetes::Transport &transport_;
    pg::SharedCounters &counters_;
    std::function<bool(const mirror::Mirror &)> may_send_;
    std::function<void(const std::string &)> note_error_;
    std::shared_ptr<const mirror::Catalog> catalog_ = std::make_shared<mirror::Catalog>();
    std::map<std::string, Server> servers_; // by name
    EventSeries series_;
    std::map<Place, int64_t> closed_; // refused; until when they are left alone
    std::set<std::string> told_;      // servers whose refusal is in the log
    std::string database_;
    std::map<uint32_t, std::string> roles_; // names by oid; "" for one that is gone
    int64_t last_us_ = 0;
};

} // namespace dbnet::bgworker
