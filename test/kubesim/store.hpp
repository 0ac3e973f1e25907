// All objects, one revision counter, and the log of changes watches and consistent paging read from.
#pragma once

#include "json.hpp"
#include "kinds.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace kubesim {

// One version of one object; never changed once stored.
struct Stored {
    const Kind *kind;
    std::string key; // "namespace/name", or the name of a cluster-scoped object: the order of lists
    json body;       // without kind and apiVersion
    uint64_t revision;

    // JSON text with kind and apiVersion (as a single object) or without (as an item of a list); made once.
    const std::string &text() const;
    const std::string &item_text() const;

private:
    mutable std::string text_;
    mutable std::string item_text_;
};
using StoredPtr = std::shared_ptr<const Stored>;

// The same as an object of another version of its kind.
StoredPtr seen_as(const Kind &kind, const StoredPtr &stored);

struct Change {
    uint64_t revision;
    const Kind *kind;
    StoredPtr before; // null: created
    StoredPtr after;  // null: deleted
    StoredPtr last;   // of a deletion: the object's last state with the deletion's revision
};

class Store {
public:
    using Objects = std::map<std::string, StoredPtr>;

    explicit Store(size_t history) : history_(history) {}

    static std::string key_of(const Kind &kind, const std::string &name_space, const std::string &name) {
        return kind.namespaced ? name_space + "/" + name : name;
    }

    // As an object of this kind, whichever version it is kept in.
    StoredPtr get(const Kind &kind, const std::string &key) const;
    const Objects &objects(const Kind &kind) const { return objects_[&kind.stored_as()]; }
    // Objects as they were at a revision that is not yet compacted.
    Objects objects_at(const Kind &kind, uint64_t revision) const;
    // Creates or replaces; sets metadata.resourceVersion to the new revision.
    StoredPtr put(const Kind &kind, const std::string &key, json body);
    void remove(const Kind &kind, const std::string &key);
    // A change of an earlier process: the object as it was then (null: deleted). Nobody is told, no history comes of
    // it.
    void load(const Kind &kind, const std::string &key, json body, uint64_t revision);

    uint64_t revision() const { return revision_; }
    // Changes up to this revision are forgotten.
    uint64_t compacted() const { return compacted_; }
    void compact() { trim(0); }
    const std::deque<Change> &changes() const { return changes_; }
    // Called after every change.
    std::function<void(const Change &)> on_change;

    // As an etcd restored from a backup: objects and revision counter go back, nobody is told.
    void save() { saved_ = {objects_, changes_, revision_, compacted_}; }
    void restore();

private:
    void append(Change change);
    void trim(size_t keep);

    struct Snapshot {
        std::map<const Kind *, Objects> objects;
        std::deque<Change> changes;
        uint64_t revision = 0;
        uint64_t compacted = 0;
    };

    size_t history_;
    mutable std::map<const Kind *, Objects> objects_;
    std::deque<Change> changes_;
    uint64_t revision_ = 1;
    uint64_t compacted_ = 1;
    Snapshot saved_;
};

} // namespace kubesim
