-- A day in the shop: 3 customers come, 5 change, 2 go. The next Sync sends exactly these ten.
begin;
insert into customers values
  (10001, 'customer10001@shop.example', 'Hedy', 'Keller', 'free', 0, 'US', '2026-02-01 09:00:00+00'),
  (10002, 'customer10002@shop.example', 'Mary', 'Okafor', 'team', 4900, 'DE', '2026-02-01 09:01:00+00'),
  (10003, 'customer10003@shop.example', null, 'Silva', 'business', 19900, 'BR', '2026-02-01 09:02:00+00');
update customers set plan = 'business', mrr_cents = 24900 where id in (11, 22, 33, 44, 55);
delete from customers where id in (100, 200);
commit;
