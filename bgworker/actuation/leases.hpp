// The Lease of each server that mirrors may write to: of two servers that run the same database (a clone, a standby
// that was promoted while its primary lives, a backup that was restored) one writes to the cluster. Mirror worker.
//
// Nothing is asked of a server before a mirror in mode manage is to write to it; a server whose option lease is off, or
// that has no Leases for any owner of such mirrors, is written to without one.
#pragma once

#include "bgworker/actuation/lease_keeper.hpp"
#include "kubernetes/transport/transport.hpp"
#include "mirror/store/catalog.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dbnet::bgworker {

class LeaseClient {
public:
    // From now on the server may be written to.
    virtual void lease_acquired(const std::string &server) = 0;
    virtual void note_error(const std::string &message) = 0;

protected:
    ~LeaseClient() = default;
};

class Leases {
public:
    Leases(kubernetes::Transport &transport, LeaseClient &client) : transport_(transport), client_(client) {}
    ~Leases();

    void configure(std::shared_ptr<const mirror::Catalog> catalog);
    // Outside any transaction.
    void turn();
    // Milliseconds until turn() has something to do; -1: nothing by itself.
    int timeout_ms() const;

    // Why the server must not be written to; empty: it may.
    std::string closed_reason(const std::string &server) const;
    // It may not yet, and in a moment it is known whether it may.
    bool is_awaited(const std::string &server) const;
    // Who else writes to it, in words; empty: nobody that we know of.
    std::string rival(const std::string &server) const;

private:
    struct Server {
        LeaseKeeper keeper;
        // Of the owners of mirrors that may write: whoever may have the Lease has it for all of them.
        std::vector<std::shared_ptr<const kubernetes::Connection>> connections;
        size_t asks = 0;     // which of them
        size_t refusals = 0; // of those, since the Lease was written last
        std::string name_space;
        kubernetes::Transport::Id request = 0;
        bool was_open = false;
        std::string told; // the last of what the log was told
    };

    LeaseKeeper::Self self() const;
    void ask(const std::string &name, Server &server, LeaseKeeper::Action action);
    static void take_refusal(Server &server, const std::string &message, int64_t now_ms);
    void take_answer(const std::string &name, LeaseKeeper::Action action, kubernetes::Response &&response);
    void tell(const std::string &name, Server &server);
    void note(int64_t newer_term, const std::string &older_than);

    kubernetes::Transport &transport_;
    LeaseClient &client_;
    std::shared_ptr<const mirror::Catalog> catalog_ = std::make_shared<mirror::Catalog>();
    std::map<std::string, Server> servers_; // by name
    int64_t next_note_ms_ = 0;
};

} // namespace dbnet::bgworker
