-- wrk: slates of users in turn. HISTORY: 0, 10, 200 or mixed. PAUSE: milliseconds that a connection rests between two
-- requests, evenly spread around it, for a load below the peak. Prints how many answers came with which status.
local kind = os.getenv("HISTORY") or "mixed"
local kinds = kind == "mixed" and {"0", "10", "200"} or {kind}
local pause = tonumber(os.getenv("PAUSE") or "0")
local k = 0
request = function()
  k = k + 1
  local who = kinds[k % #kinds + 1] .. "-" .. (math.floor(k / #kinds) % 50)
  return wrk.format("GET", "/api/v1/users/" .. who .. "/recommendations?n=20")
end
if pause > 0 then
  delay = function() return math.random(0, 2 * pause) end
end
local threads = {}
setup = function(thread) table.insert(threads, thread) end
init = function() ok, busy, other = 0, 0, 0 end
response = function(status)
  if status == 200 then ok = ok + 1 elseif status == 503 then busy = busy + 1 else other = other + 1 end
end
done = function(summary, latency)
  local a, b, c = 0, 0, 0
  for _, t in ipairs(threads) do a, b, c = a + t:get("ok"), b + t:get("busy"), c + t:get("other") end
  print(string.format("STATUS %d %d %d SECONDS %.3f P50 %.2f P99 %.2f", a, b, c, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
