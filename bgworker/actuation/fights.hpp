// Fights over fields: somebody else changes what DBNet enforces, DBNet puts it back, and so on. Says how long to wait
// before the next time. Pure C++ without a clock; mirror worker. Of what it knows dbnet.object keeps, for the next
// worker, how often an object was put back while its phase is fighting.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

#include "mirror/key.hpp"

namespace dbnet::bgworker {

class Fights {
public:
    // Milliseconds until what `manager` changed of the object may be put back; 0: now.
    int64_t wait_ms(const mirror::Key &key, const std::string &manager, int64_t now_ms);
    // A fight that an earlier worker has left behind, after so many times; one that is known goes on as it is.
    void resume(const mirror::Key &key, const std::string &manager, int reverts, int64_t now_ms);
    // It is put back.
    void note_revert(const mirror::Key &key, const std::string &manager, int64_t now_ms);
    // How often that was done since it was quiet; 0: never.
    int reverts(const mirror::Key &key) const;

    size_t size() const { return fights_.size(); }

private:
    struct Fight {
        std::string manager;
        std::deque<int64_t> recent_ms; // reverts of the last minute
        int reverts = 0;
        int64_t delay_ms = 0; // 0: they are not too many yet
    };
    void forget_old(int64_t now_ms);

    std::unordered_map<mirror::Key, Fight, mirror::KeyHash> fights_;
    int64_t cleaned_ms_ = 0;
};

} // namespace dbnet::bgworker
