#include "tools/ufence/run/run_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

namespace ufence::tool {
namespace {

TEST(percentile, is_the_nearest_rank) {
  const std::vector<std::int64_t> ns{1000, 2000, 3000, 4000};
  EXPECT_EQ(percentile_us(ns, 0.5), 2);
  EXPECT_EQ(percentile_us(ns, 0.51), 3);
  EXPECT_EQ(percentile_us(ns, 0.99), 4);
  EXPECT_EQ(percentile_us(ns, 0), 1);
  EXPECT_EQ(percentile_us(ns, 1), 4);
  EXPECT_EQ(percentile_us({}, 0.5), 0);
}

TEST(run_report, json_has_each_member_under_its_name) {
  const run_report r{.files = 1,
                     .bytes = 2,
                     .seconds = 0.5,
                     .skipped = 3,
                     .errors = 4,
                     .resubmitted = 5,
                     .fences_issued = 6,
                     .fences_awaited = 7,
                     .fences_held_at_exit = 8,
                     .fences_outliving_issuer = 9,
                     .retired_by_settlement = 10,
                     .retired_by_last_op = 11,
                     .module_loads = 12,
                     .module_unloads = 13,
                     .unloads_unmapped = 14,
                     .unloads_deferred = 15,
                     .unloads_pinned = 16,
                     .unload_us_p50 = 17.5,
                     .unload_us_p99 = 18.5,
                     .readers_started = 19,
                     .readers_killed = 20,
                     .readers_lost = 21,
                     .timeouts = 22,
                     .resets = 23,
                     .clients = {{.priority = "high",
                                  .files = 24,
                                  .bytes = 25,
                                  .share = 0.75,
                                  .file_us_p50 = 26.5,
                                  .file_us_p99 = 27.5}}};
  EXPECT_EQ(to_json(r),
            R"({"files":1,"bytes":2,"seconds":0.5,"skipped":3,"errors":4,"resubmitted":5,)"
            R"("fences_issued":6,"fences_awaited":7,"fences_held_at_exit":8,)"
            R"("fences_outliving_issuer":9,"retired_by_settlement":10,"retired_by_last_op":11,)"
            R"("module_loads":12,"module_unloads":13,"unloads_unmapped":14,"unloads_deferred":15,)"
            R"("unloads_pinned":16,"unload_us_p50":17.5,"unload_us_p99":18.5,)"
            R"("readers_started":19,"readers_killed":20,"readers_lost":21,"timeouts":22,)"
            R"("resets":23,"clients":[{"priority":"high","files":24,"bytes":25,"share":0.75,)"
            R"("file_us_p50":26.5,"file_us_p99":27.5}]})");
}

TEST(run_report, text_tells_of_resubmitted_jobs_only_if_there_are_any) {
  run_report r{.files = 12345, .bytes = 2'000'000, .seconds = 2};
  EXPECT_THAT(to_text(r), testing::StartsWith("12,345 files, 2.0 MB in 2.000 s (1.0 MB/s); 0 "));
  EXPECT_THAT(to_text(r), testing::Not(testing::HasSubstr("submitted again")));
  r.resubmitted = 3;
  EXPECT_THAT(to_text(r), testing::HasSubstr("3 jobs cut off by an unload, and submitted again"));
}

TEST(run_report, text_tells_of_readers_only_if_there_are_any) {
  run_report r{.files = 1, .resubmitted = 3};
  EXPECT_THAT(to_text(r), testing::Not(testing::HasSubstr("reader")));
  r.readers_started = 4;
  r.readers_killed = 2;
  r.readers_lost = 1;
  EXPECT_THAT(to_text(r), testing::HasSubstr("4 reader processes, 2 of them killed, 1 lost"));
  EXPECT_THAT(to_text(r), testing::HasSubstr("3 jobs cut off by an unload or the end of a reader"));
}

TEST(run_report, text_tells_of_clients_if_there_are_several_and_of_late_jobs_if_there_are_any) {
  run_report r{.files = 1, .clients = {{.priority = "high"}}};
  EXPECT_THAT(to_text(r), testing::Not(testing::HasSubstr("client")));
  EXPECT_THAT(to_text(r), testing::Not(testing::HasSubstr("late")));
  r.clients[0].share = 0.25;
  r.clients.push_back({.priority = "7", .files = 3, .share = 0.75, .file_us_p50 = 8});
  r.timeouts = 2;
  r.resets = 1;
  EXPECT_THAT(to_text(r), testing::HasSubstr("client 1 (high): 0 files, 0 B, 25.0 % of `cpu`"));
  EXPECT_THAT(to_text(r), testing::HasSubstr("client 2 (7): 3 files, 0 B, 75.0 % of `cpu`"));
  EXPECT_THAT(to_text(r), testing::HasSubstr("2 late jobs, 1 modules replaced for them"));
}

}  // namespace
}  // namespace ufence::tool
