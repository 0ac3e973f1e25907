// Care of what is on record: empties the parts of rings that are older than the settings keep, and chains the roots of
// transactions into blocks; makes partitions of telemetry ahead and drops old ones. Runs in the mirror worker, between
// turns, in short transactions of its own that wait for nobody: what is locked has its turn a minute later.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "provenance/record/event_id.hpp"

namespace dbnet::bgworker {

class Housekeeping {
public:
    // `note_error`: what to do with an error that is not a lock.
    explicit Housekeeping(std::function<void(const std::string &)> note_error) : note_error_(std::move(note_error)) {}

    // Outside any transaction. Does what is due, if anything; to be called about once a second.
    void turn(int64_t now_ms);
    // Everything is due at once: settings may have changed.
    void hurry() noexcept { next_removal_ms_ = next_seal_ms_ = next_dimensions_ms_ = 0; }

private:
    // A moment of which it is to be known when every transaction has ended that had taken an event id before.
    struct Horizon {
        provenance::EventId event = 0; // ids from here on were taken later; 0: no moment is being waited for
        uint64_t next_transaction = 0; // full transaction id: those below may have taken one before
    };

    void remove_old();
    bool care_for_telemetry(); // true: there is more at once
    void report_held_partitions();
    bool seal(); // true: there is more at once

    std::function<void(const std::string &)> note_error_;
    int64_t next_removal_ms_ = 0;
    int64_t next_seal_ms_ = 0;
    int64_t next_dimensions_ms_ = 0;
    Horizon horizon_;
    std::string held_partitions_;                    // that were reported
    provenance::EventId sources_removed_before_ = 0; // what `removed_before` was when no source was left to be removed
    provenance::EventId sealed_ = -1;                // everything below is sealed; -1: to be looked up
};

} // namespace dbnet::bgworker
