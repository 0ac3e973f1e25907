// Room for what is about to be recorded: pages of the tables of events and of their indexes, made by the worker before
// sessions need them. A page that is added costs who needs it as much as a dozen rows (it is zeroed, written to the
// file, and locked for); while much is recorded, no commit pays for that. Runs in the mirror worker, between turns.
//
// What is not used stays, and is used later. That a table has grown is not logged, here as wherever PostgreSQL adds
// pages for several sessions: after a crash, and on a standby, a page that nobody has written to may not be there, or
// is zeros, while the map of free space names it. Minor releases that stumble over that are left alone.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <string>

namespace dbnet::bgworker {

inline constexpr int64_t room_ahead_ms = 500; // what is filled in so long is to be free
inline constexpr int64_t least_room = 8;      // pages; below that sessions do it themselves
inline constexpr int64_t most_room = 512;     // pages of a table or an index: 4 MB

// Pages to be made when `used` were filled within `elapsed_ms` and `free` are left.
constexpr int64_t room_wanted(int64_t used, int64_t elapsed_ms, int64_t free) noexcept {
    const int64_t ahead = std::min(used * room_ahead_ms / std::max<int64_t>(elapsed_ms, 1), most_room);
    return ahead < least_room ? 0 : std::max<int64_t>(ahead - free, 0);
}

class RecordRoom {
public:
    explicit RecordRoom(std::function<void(const std::string &)> note_error) : note_error_(std::move(note_error)) {}

    // Outside any transaction. Does what is due, if anything.
    void turn(int64_t now_ms);
    // Until turn() is to be called again; -1: while nothing is recorded, about once a second.
    int timeout_ms(int64_t now_ms) const noexcept;

    // The end of a table, or of one of its indexes.
    struct Room {
        uint32_t table = 0, relation = 0; // the same, of the table itself; 0: none
        uint32_t first = 0;               // page from which on some are free
        uint32_t end = 0;                 // pages there were at the last look, and those made since
        int64_t free = 0, left = 0;       // pages; of those that are wanted, still to be made
    };

private:
    void look(int64_t elapsed_ms);
    void make();
    bool is_more() const noexcept;

    std::function<void(const std::string &)> note_error_;
    std::array<Room, 8> rooms_; // of the partitions that events go to now; others have no room made for them
    uint64_t recorded_ = 0;     // events, at the last look
    int64_t last_look_ms_ = 0, next_ms_ = 0;
    bool is_busy_ = false; // something was recorded before the last look
};

} // namespace dbnet::bgworker
