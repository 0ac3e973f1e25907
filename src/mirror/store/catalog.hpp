// What the mirror worker knows of the configuration: every mirror with its columns, owner and connection, read in one
// transaction and replaced as a whole when it changes. Plain data; used by the mirror worker.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "kubernetes/api.hpp"
#include "kubernetes/connection.hpp"
#include "kubernetes/credentials/file_stamp.hpp"
#include "mirror/decision/committers.hpp"
#include "mirror/decision/intent.hpp"
#include "mirror/values/mapping.hpp"

namespace dbnet::mirror {

enum class Initial { compare, pull, push };

struct Mirror {
    uint32_t relation = 0;      // oid
    uint32_t owner = 0;         // oid of the table's owner, as whom rows are read and written
    int64_t generation = 0;     // changes with every change of the configuration
    std::string qualified_name; // schema.table, quoted for SQL
    std::string server;

    // nullptr: it cannot be reached; connection_error says why.
    std::shared_ptr<const kubernetes::Connection> connection;
    std::string connection_error;
    std::shared_ptr<const Committers> committers = std::make_shared<Committers>(); // whom the server is told of
    bool writes_events = false;                                                    // option events of the server
    bool is_offline = false; // there is none on purpose (option offline of the server); connection_error says so

    kubernetes::Resource resource;
    std::string name_space;     // the one namespace that is mirrored; empty: all, or cluster-scoped
    bool holds_secrets = false; // no text that goes into a message, a log or a view may repeat values of it
    std::string label_selector;
    std::string field_manager;
    Initial initial = Initial::compare;
    MirrorSettings settings;
    Mapping mapping;
    std::string name_column;      // of the table, not quoted
    std::string namespace_column; // empty: the mirror has one namespace or the kind none

    std::string lease_namespace; // of the server's Lease; empty: it has none
    std::string paused_reason;   // of the mirror or its server; empty: not paused
    // The table does not fit the configuration any more (a mapped column is gone or has another type): no row of it is
    // read or written until that is mended. Empty: all is well.
    std::string problem;
};

struct Arming {
    // False: this is not the database that dbnet.claim() was called in; nothing is sent that changes a device.
    bool armed = false;
    std::string disarmed_reason;
    int64_t term = 0;       // of the newest dbnet.claim()
    std::string claimed_by; // the installation that it was called on; empty: none that we know of
    std::string older_than; // position of a Lease's holder that this database did not know; empty: none
};

struct Catalog : Arming {
    std::map<uint32_t, Mirror> mirrors; // by relation
    kubernetes::FileStamps files; // that the connections are made of; kubeconfigs as they were before they were read

    const Mirror *find(uint32_t relation) const {
        const auto found = mirrors.find(relation);
        return found == mirrors.end() ? nullptr : &found->second;
    }
};

// Reads all of it; inside a transaction. A mirror whose table is gone is left out; one whose connection cannot be built
// says so in connection_error. Throws pg::pg_error.
Catalog load_catalog();

Arming load_arming();

// One mirror, without its connection; nullopt: the relation is none.
std::optional<Mirror> load_mirror(uint32_t relation);

} // namespace dbnet::mirror
