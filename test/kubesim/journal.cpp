// The store on disk: one JSON line a change.
#include "journal.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <stdexcept>
#include <unistd.h>

namespace kubesim {

Journal::Journal(const std::string &path, Store &store, const Kinds &kinds, const Loaded &loaded) {
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
        const json change = json::parse(line, nullptr, false);
        if (change.is_discarded())
            break; // the last line, which a kill has cut: nobody was answered
        const Kind *kind = kinds.by_kind(change.at("group"), change.at("kind"));
        if (!kind)
            throw std::runtime_error(path + " holds a kind that is not served: " + change.dump());
        StoredPtr before = store.get(*kind, change.at("key"));
        store.load(*kind, change.at("key"), change.at("body"), change.at("revision"));
        loaded(*kind, before ? before->body : json(), change.at("body"));
    }
    descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (descriptor_ < 0)
        throw std::runtime_error("cannot open " + path + ": " + strerror(errno));
}

Journal::~Journal() {
    close(descriptor_);
}

void Journal::append(const Change &change) {
    const json line = {{"group", change.kind->group},
                       {"kind", change.kind->kind},
                       {"key", change.after ? change.after->key : change.before->key},
                       {"revision", change.revision},
                       {"body", change.after ? change.after->body : json()}};
    const std::string text = dump(line) + "\n";
    if (write(descriptor_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        throw std::runtime_error(std::string("cannot write the store's file: ") + strerror(errno));
}

} // namespace kubesim
