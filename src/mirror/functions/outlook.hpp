// What would become of one object if its row were carried out now, in words: for dbnet.preview and dbnet.plan, decided
// by the mirror worker's own code. Runs in backends, inside in_spi().
#pragma once

#include "mirror/key.hpp"
#include "mirror/store/catalog.hpp"
#include "mirror/store/object_store.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace dbnet::mirror {

// One key with all that decides about it.
struct Subject {
    Key key;
    std::optional<RowFields> row;
    StoredObject stored;
    Json managers = Json::object(); // {path: [manager, time]}

    const ObjectRecord *object() const { return stored.object ? &*stored.object : nullptr; }
    HoldDecision hold() const { return (row ? stored.apply_hold : stored.delete_hold).decision; }
    // Of `part` 0 the name, of 1 the time; empty: nobody is known.
    std::string manager_of(const std::string &path, size_t part = 0) const;
};

// Objects, tombstones, held changes and managers of keys of one mirror; with the extension's rights.
void load_stored(std::vector<Subject> &subjects);

struct Outlook {
    Decision decision;
    const char *operation = ""; // create, update, release or delete
    // Of what acts: send, or conflict with the managers' names; of what does not: held, refused, wait or nothing, and
    // why.
    std::string verdict;
    std::map<std::string, std::string> taken_from; // managers that lose a field to us, by path
};

// As in mode manage, whatever the mirror's mode is.
Outlook foresee(const Mirror &mirror, const Subject &subject);

} // namespace dbnet::mirror
