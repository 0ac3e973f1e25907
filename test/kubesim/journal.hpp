// The store on disk, as a real server's etcd keeps it: one JSON line a change, in the file before the change's author
// is answered, so that a killed simulator goes on where it was. Revisions from before the restart are too old to watch
// from.
#pragma once

#include "kinds.hpp"
#include "store.hpp"

#include <string>

namespace kubesim {

class Journal {
public:
    // Told of every change: the object before and after it, null when there was none.
    using Loaded = std::function<void(const Kind &kind, const json &before, const json &after)>;

    // Puts what the file tells into the (empty) store and keeps the file open. Throws std::runtime_error.
    Journal(const std::string &path, Store &store, const Kinds &kinds, const Loaded &loaded);
    ~Journal();
    Journal(const Journal &) = delete;
    Journal &operator=(const Journal &) = delete;

    void append(const Change &change);

private:
    int descriptor_;
};

} // namespace kubesim
